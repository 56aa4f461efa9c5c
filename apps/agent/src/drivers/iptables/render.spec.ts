import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PlacedForward } from '../../planner/types.js';
import { ip, placed } from '../../testing/placed.js';
import { carriedForwards, placedAsCarried } from './carried.js';
import { FAMILIES, TABLES } from './layout.js';
import { observeTables } from './observe.js';
import { closed, type Rendered, render } from './render.js';
import { anyForwards, desired, egressOf, range, target, uidOf } from './testing.js';

const rulesOf = (rendered: Rendered) =>
  FAMILIES.map((family) =>
    TABLES.map((t) => ({
      hooks: rendered.families[family].tables[t].hooks,
      chains: new Map([...rendered.families[family].tables[t].chains].sort(([a], [b]) => (a < b ? -1 : 1))),
    })),
  );

describe('render', () => {
  it('from an earlier rendering gives what it gives from nothing', () => {
    fc.assert(
      fc.property(fc.array(anyForwards, { minLength: 1, maxLength: 4 }), fc.boolean(), (states, leaving) => {
        let last: Rendered | undefined;
        states.forEach((forwards, i) => {
          const host = desired(forwards, leaving && i % 2 === 0 ? [egressOf(90)] : []);
          last = render(host, last);
          expect(rulesOf(last)).toEqual(rulesOf(render(host)));
        });
      }),
      { numRuns: 150 },
    );
  });

  it('takes over what did not change, object by object', () => {
    const many = Array.from({ length: 200 }, (_, i) => placed({ uid: uidOf(i), port: 1000 + i, allow: ['10.9.0.0/16'] }));
    const before = render(desired(many));
    const after = render(desired([...many, placed({ uid: uidOf(999), port: 5000 })]), before);
    for (const table of ['mangle', 'filter', 'nat'] as const) {
      const [was, is] = [before, after].map((r) => r.families[4].tables[table].chains);
      if (!was || !is) throw new Error('no chains');
      expect([...is.changes(was)].length).toBeLessThanOrEqual(4);
    }
    expect(after.families[6]).toEqual(before.families[6]);
    expect(render(after.desired, after)).toBe(after);
  });

  it('can be read back by a process without memory', () => {
    fc.assert(
      fc.property(anyForwards, (forwards) => {
        const rendered = render(desired(forwards));
        for (const family of FAMILIES) {
          const { tables } = rendered.families[family];
          const saved = new Map(
            TABLES.map((t) => [t, new Map([...tables[t].chains].map(([name, c]) => [name, { rules: c.rules }]))]),
          );
          const observed = { family, tables: observeTables(saved), forwarding: { on: true, ours: false } };
          const of = forwards.filter((f) => f.family === family);
          const read = carriedForwards(observed, new Set(of.map((f) => f.key)));
          for (const forward of of) expect(inOrder(read.get(forward.key))).toEqual(inOrder(placedAsCarried(forward)));
        }
      }),
      { numRuns: 150 },
    );
  });

  const texts = (forward: PlacedForward, egresses = [] as never[]) => {
    const { tables } = render(desired([forward], egresses)).families[forward.family];
    return TABLES.flatMap((t) => [...tables[t].chains].flatMap(([name, { rules }]) => rules.map((r) => `${name} ${r}`)));
  };

  it('lets nobody in by an empty allow-list', () => {
    const { key } = placed();
    const chain = texts({ ...placed(), allow: [] }).filter((r) => r.startsWith(`GWCTL-A-${key}`));
    expect(chain.map((r) => / -j (\S+)$/.exec(r)?.[1])).toEqual(['RETURN', 'DROP']);
    expect(chain[0]).toContain('--src-type LOCAL');
  });

  it('never sends a link-local source anywhere', () => {
    const six = {
      ...placed(),
      family: 6 as const,
      listen: { protocol: 'udp' as const, ports: range(53) },
      targets: [target('fd00::1', 53)],
    };
    expect(texts(six).filter((r) => r.startsWith('GWCTL-DISP'))[0]).toContain('-s fe80::/10 ');
  });

  it('translates all of an address, and asks only TCP for strays', () => {
    const all = texts({ ...placed(), listen: { address: ip('203.0.113.50'), protocol: 'all' }, targets: [target('10.0.0.50')] });
    expect(all).toContain(
      `GWCTL-DNAT -d 203.0.113.50/32 -m comment --comment "gwctl:${placed().key}:dnat" -j DNAT --to-destination 10.0.0.50`,
    );
    expect(all.find((r) => r.startsWith('GWCTL-INV '))).toContain('-p tcp');
  });

  it('closes the forward hook of a host that did not forward, and only that', () => {
    const { 4: family } = render(desired([placed()])).families;
    const changed = [...closed(family).tables.filter.chains.changes(family.tables.filter.chains)];
    expect(changed.map(([name]) => name)).toEqual(['GWCTL-FWD']);
    expect(closed(family)).toBe(closed(family));
  });

  it('is one golden text for an egress', () => {
    const { tables } = render(desired([], [egressOf(1, { snat: { mode: 'address', address: ip('203.0.113.10') } })])).families[4];
    const text = TABLES.flatMap((t) => [
      ...tables[t].hooks.map((h) => `${t} ${h.chain}: ${h.rule}`),
      ...[...tables[t].chains].sort().flatMap(([name, { rules }]) => rules.map((r) => `${t} ${name}: ${r}`)),
    ]);
    expect(`${text.join('\n')}\n`).toMatchInlineSnapshot(`
      "mangle FORWARD: -m conntrack --ctstate NEW -m comment --comment "gwctl:hook" -j GWCTL-EGR
      mangle GWCTL-EGR: -o wan -m comment --comment "gwctl:11e594f4:egress" -j GWCTL-X-11e594f4
      mangle GWCTL-X-11e594f4: -d 10.0.0.0/24 -m comment --comment "gwctl:11e594f4:except" -j RETURN
      mangle GWCTL-X-11e594f4: -d 224.0.0.0/4 -m comment --comment "gwctl:11e594f4:except" -j RETURN
      mangle GWCTL-X-11e594f4: -s 10.0.0.0/24 -m comment --comment "gwctl:11e594f4:marked" -j CONNMARK --set-xmark 0x1000000/0x1000000
      filter FORWARD: -m comment --comment "gwctl:hook" -j GWCTL-FWD
      filter GWCTL-ECNT: -o wan -m conntrack --ctorigsrc 10.0.0.0/24 --ctdir ORIGINAL -m comment --comment "gwctl:11e594f4:count" -j ACCEPT
      filter GWCTL-ECNT: -i wan -m conntrack --ctorigsrc 10.0.0.0/24 --ctdir REPLY -m comment --comment "gwctl:11e594f4:count" -j ACCEPT
      filter GWCTL-FWD: -m connmark --mark 0x1000000/0x1000000 -m comment --comment "gwctl:fwd:ours" -j GWCTL-OURS
      filter GWCTL-OURS: -m comment --comment "gwctl:fwd:count-egress" -j GWCTL-ECNT
      filter GWCTL-OURS: -m comment --comment "gwctl:fwd:accept" -j ACCEPT
      nat POSTROUTING: -m comment --comment "gwctl:hook" -j GWCTL-POST
      nat GWCTL-E-11e594f4: -d 10.0.0.0/24 -m comment --comment "gwctl:11e594f4:except" -j RETURN
      nat GWCTL-E-11e594f4: -d 224.0.0.0/4 -m comment --comment "gwctl:11e594f4:except" -j RETURN
      nat GWCTL-E-11e594f4: -s 10.0.0.0/24 -p tcp -m comment --comment "gwctl:11e594f4:out" -j SNAT --to-source 203.0.113.10:1024-65535 --random-fully
      nat GWCTL-E-11e594f4: -s 10.0.0.0/24 -p udp -m comment --comment "gwctl:11e594f4:out" -j SNAT --to-source 203.0.113.10:1024-65535 --random-fully
      nat GWCTL-E-11e594f4: -s 10.0.0.0/24 -m comment --comment "gwctl:11e594f4:out" -j SNAT --to-source 203.0.113.10 --random-fully
      nat GWCTL-POST: -o wan -m comment --comment "gwctl:11e594f4:egress" -j GWCTL-E-11e594f4
      "
    `);
  });
});

/** Targets in any order. */
const inOrder = (carried: ReturnType<typeof placedAsCarried> | undefined) =>
  carried && { ...carried, targets: [...carried.targets].sort((a, b) => (a.address < b.address ? -1 : 1)) };
