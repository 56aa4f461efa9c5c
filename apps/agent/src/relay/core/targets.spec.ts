import { addressBytes } from '@gwctl/shared/domain/ip-bytes';
import { describe, expect, it } from 'vitest';
import { target } from '../testing.js';
import type { RelayTarget } from '../types.js';
import { hashAddress } from './address.js';
import { LEFT_OUT, Targets } from './targets.js';

const a = target('10.0.0.1', 80, 5);
const b = target('10.0.0.2', 80, 1);
const c = target('10.0.0.3', 80, 1);
const names = new Map<RelayTarget | undefined, string>([
  [a, 'a'],
  [b, 'b'],
  [c, 'c'],
  [undefined, '-'],
]);
const picks = (targets: Targets, count: number, now = 0) =>
  Array.from({ length: count }, () => names.get(targets.pick({ now, client: 1 }))).join('');
const client = (n: number) => hashAddress(addressBytes(`198.51.100.${n}`));

describe('Targets', () => {
  it('mixes evenly in proportion to the weights', () => {
    expect(picks(new Targets({ targets: [a, b, c], affinity: 'none' }), 14)).toBe('aabacaaaabacaa');
  });

  it('goes on where the round stood when a forward changes', () => {
    const before = new Targets({ targets: [a, b, c], affinity: 'none' });
    expect(picks(before, 2)).toBe('aa');
    expect(picks(new Targets({ targets: [a, b, c], affinity: 'none' }, before), 3)).toBe('bac');
  });

  it('leaves a target out for a while after a failed connect, then lets one connection try it', () => {
    const targets = new Targets({ targets: [b, c], affinity: 'none' });
    expect(targets.failed(b, 1_000, 'refused')).toBe(true);
    expect(targets.failed(b, 1_000, 'refused')).toBe(false);
    expect(targets.health(b)).toEqual({ health: 'unhealthy', trouble: 'refused' });
    expect(picks(targets, 5, 1_000 + LEFT_OUT - 1)).toBe('ccccc');
    const then = picks(targets, 6, 1_000 + LEFT_OUT);
    expect(then.split('b')).toHaveLength(2);
    expect(targets.succeeded(b, 250)).toBe(true);
    expect(targets.succeeded(b, 250)).toBe(false);
    expect(targets.health(b)).toEqual({ health: 'healthy', rttUs: 250 });
    expect(picks(targets, 10, 1_000 + LEFT_OUT).split('b')).toHaveLength(6);
  });

  it('tries them all when all are left out', () => {
    const targets = new Targets({ targets: [b, c], affinity: 'none' });
    for (const t of [b, c]) targets.failed(t, 0, 'refused');
    expect([...picks(targets, 4, 1)].sort().join('')).toBe('bbcc');
  });

  it('gives another one for the retry, and none where there is none', () => {
    const targets = new Targets({ targets: [b, c], affinity: 'none' });
    for (let i = 0; i < 4; i++) expect(targets.pick({ now: 0, client: i, without: b })).toBe(c);
    expect(new Targets({ targets: [b], affinity: 'client' }).pick({ now: 0, client: 1, without: b })).toBeUndefined();
  });

  it('gives a client the same target for as long as it is in rotation, and moves only the clients of one that is left out', () => {
    const all = [target('10.0.0.1', 80), b, c];
    const targets = new Targets({ targets: all, affinity: 'client' });
    const clients = Array.from({ length: 200 }, (_, n) => client(n));
    const before = clients.map((n) => targets.pick({ now: 0, client: n }));
    expect(new Set(before).size).toBe(3);
    expect(clients.map((n) => targets.pick({ now: 0, client: n }))).toEqual(before);
    targets.failed(b, 0, 'refused');
    clients.forEach((n, i) => {
      const now = targets.pick({ now: 1, client: n });
      if (before[i] === b) expect(now).not.toBe(b);
      else expect(now).toBe(before[i]);
    });
    targets.succeeded(b, 100);
    expect(clients.map((n) => targets.pick({ now: 2, client: n }))).toEqual(before);
  });

  it('forgets the health of a target that is no longer there', () => {
    const before = new Targets({ targets: [b, c], affinity: 'none' });
    before.failed(b, 0, 'refused');
    before.failed(c, 0, 'refused');
    const after = new Targets({ targets: [c], affinity: 'none' }, before);
    expect([after.health(b).health, after.health(c).health]).toEqual(['unknown', 'unhealthy']);
    expect(after.failed(b, 0, 'refused')).toBe(false);
  });
});
