import { describe, expect, it } from 'vitest';
import type { PlacedForward } from '../../planner/types.js';
import { cidr, ip, placed } from '../../testing/placed.js';
import { diff } from './diff.js';
import { NO_OTHER_FILTERS } from './other-filters.js';
import { type Rendered, render } from './render.js';
import { desired, range, target, uidOf } from './testing.js';

const BYSTANDER = placed({ uid: uidOf(9), port: 9 });

/** What a change removes of connection tracking, by the side of another forward. */
function removed(before: PlacedForward | undefined, after: PlacedForward | undefined) {
  const of = (f: PlacedForward | undefined): Rendered => render(desired([...(f ? [f] : []), BYSTANDER]));
  const [was, now] = [of(before), of(after)];
  const families = ([4, 6] as const).map((family) => ({
    family,
    tables: was.families[family].tables,
    forwarding: { on: true, ours: false },
    as: was.families[family],
  }));
  const plan = diff(now, { at: 0, families, filters: NO_OTHER_FILTERS });
  return plan.steps.flatMap((s) => (s.kind === 'flows' ? [s.match] : []));
}

const udp = (first: number, last: number, to: number, over: Partial<PlacedForward> = {}): PlacedForward => ({
  ...placed(),
  listen: { address: ip('203.0.113.10'), protocol: 'udp', ports: range(first, last) },
  targets: [target('10.0.0.20', to)],
  ...over,
});
const at = { protocol: 'udp', address: '203.0.113.10' } as const;

describe('flows of ranges', () => {
  it('ports that go lose theirs, ports that stay keep them', () => {
    expect(removed(udp(5000, 5010, 7000), udp(5003, 5010, 7003))).toEqual([
      { ...at, ports: range(5000, 5002), to: { address: '10.0.0.20', ports: range(7000, 7002) } },
    ]);
  });

  it('ports that come are cleared of what was there before', () => {
    expect(removed(udp(5000, 5004, 7000), udp(5000, 5010, 7000))).toEqual([
      { ...at, ports: range(5005, 5010), notTo: { address: '10.0.0.20', ports: range(7005, 7010) } },
    ]);
  });

  it('another shift is another target', () => {
    expect(removed(udp(5000, 5004, 7000), udp(5000, 5004, 7100))).toEqual([
      { ...at, ports: range(5000, 5004), to: { address: '10.0.0.20', ports: range(7000, 7004) } },
    ]);
  });

  it('a listener that moves away altogether takes all', () => {
    expect(removed(udp(5000, 5000, 7000), udp(6000, 6000, 7000))).toEqual([
      { ...at, port: 5000, to: { address: '10.0.0.20', port: 7000 } },
      { ...at, port: 6000, notTo: { address: '10.0.0.20', port: 7000 } },
    ]);
  });
});

describe('flows of several targets', () => {
  const pool = (targets: PlacedForward['targets'], over: Partial<PlacedForward> = {}): PlacedForward => ({
    ...placed(),
    targets,
    ...over,
  });
  const [a, b] = [target('10.0.0.31', 80), target('10.0.0.32', 80)];
  const way = { protocol: 'tcp', address: '203.0.113.10', port: 443 } as const;

  it('only those of a target that goes', () => {
    expect(removed(pool([a, b], { onChange: 'cut' }), pool([b], { onChange: 'cut' }))).toEqual([
      { ...way, to: { address: '10.0.0.31', port: 80 } },
    ]);
    expect(removed(pool([a, b]), pool([b]))).toEqual([]);
    expect(removed(pool([a]), pool([a, b], { onChange: 'cut' }))).toEqual([]);
  });

  it('a target that is down cannot be waited for', () => {
    expect(removed(pool([a, b]), pool([b], { down: [a] }))).toEqual([{ ...way, to: { address: '10.0.0.31', port: 80 } }]);
    expect(removed(pool([a, b]), pool([b], { down: [a], onChange: 'keep' }))).toEqual([]);
  });

  it('added: whatever goes to none of them', () => {
    const both = pool([a, b], { listen: { address: ip('203.0.113.10'), protocol: 'tcp+udp', ports: range(443) } });
    expect(removed(undefined, both)).toEqual([
      {
        ...way,
        protocol: 'udp',
        notTo: [
          { address: '10.0.0.31', port: 80 },
          { address: '10.0.0.32', port: 80 },
        ],
      },
    ]);
  });
});

describe('flows of all protocols, of IPv6, and of allow-lists', () => {
  const all: PlacedForward = {
    ...placed(),
    listen: { address: ip('203.0.113.50'), protocol: 'all' },
    targets: [target('10.0.0.50')],
  };

  it('draining waits for TCP only, which has an end', () => {
    const way = { address: '203.0.113.50', to: { address: '10.0.0.50' } };
    expect(removed(all, undefined)).toEqual([{ ...way, protocol: 'udp' }]);
    expect(removed({ ...all, onChange: 'cut' }, undefined)).toEqual([{ ...way, protocol: 'any' }]);
  });

  it('say which family they are of', () => {
    const six: PlacedForward = {
      ...placed({ onChange: 'cut' }),
      family: 6,
      listen: { address: ip('2001:db8::10'), protocol: 'tcp', ports: range(443) },
      targets: [target('fd00::10', 8443)],
    };
    expect(removed(six, undefined)).toEqual([
      { family: 6, protocol: 'tcp', address: '2001:db8::10', port: 443, to: { address: 'fd00::10', port: 8443 } },
    ]);
  });

  it('nobody allowed any more: all of them', () => {
    const list = [cidr('10.9.0.0/16')];
    expect(removed({ ...placed(), allow: list }, { ...placed(), allow: [] })).toMatchObject([{ sourcesOutside: [] }]);
    expect(removed({ ...placed(), allow: [] }, { ...placed(), allow: list })).toEqual([]);
    expect(removed({ ...placed(), allow: [] }, placed())).toEqual([]);
  });
});
