import { familiesOf } from '@gwctl/shared/domain/carriers';
import { type EgressSpec, egressesConflict } from '@gwctl/shared/domain/egress';
import { type DriverChoice, listenersConflict, type Protocol, type TrafficSpec } from '@gwctl/shared/domain/forward';
import { contains, parseCidr, parseIp } from '@gwctl/shared/domain/ip';
import { rangesOverlap } from '@gwctl/shared/domain/ports';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { claimsOfEgress, claimsOfForward, type ListenerClaim, type SourceClaim } from './claims.js';
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

const sourcesConflict = (a: SourceClaim, b: SourceClaim): boolean =>
  a.outInterface === b.outInterface && overlaps(a.source, b.source);

/**
 * The parts of a forward that claims come from. Behind every address the target says which family it is of, a name says IPv4; the relay,
 * wanted or needed, takes both.
 */
const forward = fc
  .record({
    address: fc.constantFrom('', '10.0.0.1', '10.0.0.2', '2001:db8::1'),
    target: fc.constantFrom('10.9.9.9', '2001:db8::99', 'db.example.net', '127.0.0.1'),
    driver: fc.constantFrom<DriverChoice>('auto', 'auto', 'kernel', 'relay'),
    protocol: fc.constantFrom<Protocol>('tcp', 'udp', 'tcp+udp', 'all'),
    first: fc.integer({ min: 1, max: 5 }),
    width: fc.integer({ min: 0, max: 2 }),
  })
  .map(({ address, target, driver, protocol, first, width }) => {
    const [ip, to] = [parseIp(address), parseIp(target)];
    const ports = protocol === 'all' ? {} : { ports: { first, last: first + width } };
    const host = to.ok ? { kind: 'ip' as const, address: to.value } : { kind: 'dns' as const, name: target };
    return {
      listen: { ...(ip.ok ? { address: ip.value } : {}), protocol, ...ports, announce: false },
      targets: [{ host, weight: 1 }],
      driver,
    } as unknown as TrafficSpec;
  });

const cidrs = ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '10.2.0.0/16', '2001:db8::/32', '2001:db8:1::/48'].map((text) => {
  const cidr = parseCidr(text);
  if (!cidr.ok) throw new Error(text);
  return cidr.value;
});
const egress = fc
  .record({ outInterface: fc.constantFrom('eth0', 'eth1'), sources: fc.subarray(cidrs, { minLength: 1 }) })
  .map((parts) => parts as unknown as EgressSpec);

describe('claims', () => {
  it('of forwards overlap exactly where listeners of one family conflict, and never among themselves', () => {
    fc.assert(
      fc.property(forward, forward, (a, b) => {
        const [mine, theirs] = [claimsOfForward(a).listeners, claimsOfForward(b).listeners];
        const expected = familiesOf(a).some((f) => familiesOf(b).includes(f)) && listenersConflict(a.listen, b.listen);
        expect(mine.some((x) => theirs.some((y) => conflict(x, y)))).toBe(expected);
        expect(mine.some((x, i) => mine.slice(i + 1).some((y) => conflict(x, y)))).toBe(false);
      }),
    );
  });

  it('of egresses overlap exactly where they translate the same packets', () => {
    fc.assert(
      fc.property(egress, egress, (a, b) => {
        const [mine, theirs] = [claimsOfEgress(a).sources, claimsOfEgress(b).sources];
        expect(mine.some((x) => theirs.some((y) => sourcesConflict(x, y)))).toBe(egressesConflict(a, b));
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
