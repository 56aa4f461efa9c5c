import type { Listener, Protocol } from '@gwctl/shared/domain/forward';
import { listenersConflict } from '@gwctl/shared/domain/forward';
import { contains, parseCidr, parseIp } from '@gwctl/shared/domain/ip';
import { rangesOverlap } from '@gwctl/shared/domain/ports';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { claimsOf, type ListenerClaim } from './claims.js';
import { placementDifference } from './difference.js';

/** PostgreSQL's && on inet: one network covers the other. */
function overlaps(a: string, b: string): boolean {
  const [x, y] = [parseCidr(a), parseCidr(b)];
  const [first, second] = [parseIp(a.split('/')[0]!), parseIp(b.split('/')[0]!)];
  if (!x.ok || !y.ok || !first.ok || !second.ok) throw new Error('not a CIDR');
  return (
    (contains(x.value, second.value) && x.value.prefix <= y.value.prefix) ||
    (contains(y.value, first.value) && y.value.prefix <= x.value.prefix)
  );
}

const conflict = (a: ListenerClaim, b: ListenerClaim): boolean =>
  a.transport === b.transport && a.family === b.family && overlaps(a.address, b.address) && rangesOverlap(a.ports, b.ports);

const listener = fc
  .record({
    address: fc.constantFrom('', '10.0.0.1', '10.0.0.2', '2001:db8::1'),
    protocol: fc.constantFrom<Protocol>('tcp', 'udp', 'tcp+udp', 'all'),
    first: fc.integer({ min: 1, max: 5 }),
    width: fc.integer({ min: 0, max: 2 }),
  })
  .map(({ address, protocol, first, width }): Listener => {
    const ip = parseIp(address);
    const ports = protocol === 'all' ? {} : { ports: { first, last: first + width } };
    return { ...(ip.ok ? { address: ip.value } : {}), protocol, ...ports, announce: false };
  });

describe('claims', () => {
  it('overlap exactly where listeners conflict, and never among themselves', () => {
    fc.assert(
      fc.property(listener, listener, (a, b) => {
        const [mine, theirs] = [claimsOf(a), claimsOf(b)];
        expect(mine.some((x) => theirs.some((y) => conflict(x, y)))).toBe(listenersConflict(a, b));
        expect(mine.some((x, i) => mine.slice(i + 1).some((y) => conflict(x, y)))).toBe(false);
      }),
    );
  });
});

describe('placement difference', () => {
  const hash = (n: number) => new Uint8Array(32).fill(n);
  const wanted = (gatewayUid: string, n: number) => ({ gatewayUid, desired: hash(n), hash: hash(n) });

  it('adds, replaces, removes, leaves alone, in the order of uids', () => {
    const standing = [
      { gatewayUid: 'd', hash: hash(1) },
      { gatewayUid: 'a', hash: hash(1) },
      { gatewayUid: 'c', hash: hash(1) },
    ];
    const changes = placementDifference(standing, [wanted('d', 1), wanted('b', 2), wanted('a', 3)]);
    expect(changes.map((c) => [c.gatewayUid, c.kind, c.replaces !== undefined])).toEqual([
      ['a', 'upsert', true],
      ['b', 'upsert', false],
      ['c', 'remove', true],
    ]);
    expect(placementDifference([], [])).toEqual([]);
  });
});
