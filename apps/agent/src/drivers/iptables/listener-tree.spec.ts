import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PlacedForward } from '../../planner/types.js';
import { ip, placed } from '../../testing/placed.js';
import { listenersOf } from './listener-digits.js';
import { countOf, EMPTY_TREE, type ListenerTree, MOST_TOGETHER, treeOf, withListener, withoutListener } from './listener-tree.js';
import { COUNT_TREE, DNAT_TREE } from './rules.js';
import { treeChains } from './tree-chains.js';

const uid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** A forward with these ports; `address` undefined: at every address. */
const at = (n: number, address: string | undefined, first: number, last = first): PlacedForward => {
  const base = placed({ uid: uid(n), address: address ?? null });
  const family = address?.includes(':') ? 6 : 4;
  return {
    ...base,
    family,
    listen: { ...(address === undefined ? {} : { address: ip(address) }), protocol: 'tcp', ports: { first, last } as never },
  };
};

const forwards = fc
  .array(
    fc.record({
      address: fc.option(
        fc.oneof(
          fc.tuple(fc.constantFrom(0, 1, 200), fc.nat(20)).map(([a, b]) => `203.0.${a}.${b}`),
          fc.tuple(fc.nat(255), fc.nat(255)).map(([a, b]) => `${a || 1}.${b}.7.9`),
        ),
        { nil: undefined },
      ),
      first: fc.oneof(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 60_000 })),
      width: fc.constantFrom(0, 0, 0, 1, 20, 4095),
    }),
    { maxLength: 90 },
  )
  .map((all) => all.map(({ address, first, width }, i) => at(i, address, first, Math.min(first + width, 65_535))));

const grown = (all: readonly PlacedForward[]): ListenerTree =>
  all.flatMap(listenersOf).reduce<ListenerTree>((tree, listener) => withListener(tree, listener), EMPTY_TREE);

/** As text, without what is only an example. */
const shape = (tree: ListenerTree): unknown =>
  tree.kind === 'leaf'
    ? tree.listeners.map((l) => l.id)
    : { level: tree.level, across: tree.across.map((l) => l.id), children: [...tree.children].map(([d, t]) => [d, shape(t)]) };

describe('the tree of listeners', () => {
  it('depends on what is in it alone, never on the way there', () => {
    fc.assert(
      fc.property(forwards, fc.nat(), (all, seed) => {
        const whole = treeOf(all.flatMap(listenersOf));
        const shuffled = [...all].sort(
          (a, b) => ((Number(a.uid.slice(-4)) * 7919 + seed) % 101) - ((Number(b.uid.slice(-4)) * 7919 + seed) % 101),
        );
        expect(shape(grown(shuffled))).toEqual(shape(whole));
        const [gone, rest] = [all.filter((_, i) => (i + seed) % 3 === 0), all.filter((_, i) => (i + seed) % 3 !== 0)];
        const left = gone.flatMap(listenersOf).reduce((tree, listener) => withoutListener(tree, listener), whole);
        expect(shape(left)).toEqual(shape(treeOf(rest.flatMap(listenersOf))));
        expect(countOf(left)).toBe(rest.length);
      }),
      { numRuns: 200 },
    );
  });

  it.each([DNAT_TREE, COUNT_TREE])('tells what a change means for its chains: $root', (layout) => {
    fc.assert(
      fc.property(forwards, fc.nat(), (all, seed) => {
        const before = treeOf(all.filter((_, i) => (i + seed) % 4 !== 0).flatMap(listenersOf));
        const after = treeOf(all.filter((_, i) => (i + seed) % 5 !== 0).flatMap(listenersOf));
        const chains = new Map(treeChains(layout, before));
        for (const [name, chain] of treeChains(layout, after, before))
          if (chain) chains.set(name, chain);
          else chains.delete(name);
        expect(chains).toEqual(treeChains(layout, after));
      }),
      { numRuns: 200 },
    );
  });
});

/** What becomes of a packet in chains of jumps: the key of the forward that takes it, and how many rules were asked. */
function walk(chains: ReturnType<typeof treeChains>, chain: string, packet: { address: string; port: number }) {
  let met = 0;
  const bits = (text: string) => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const matches = (rule: string) => {
    const [, network, prefix] = /-d (\S+)\/(\d+)/.exec(rule) ?? [];
    const [, first, last = first] = /--dport (\d+)(?::(\d+))?/.exec(rule) ?? [];
    if (
      network !== undefined &&
      Math.floor(bits(network) / 2 ** (32 - Number(prefix))) !== Math.floor(bits(packet.address) / 2 ** (32 - Number(prefix)))
    )
      return false;
    return first === undefined || (packet.port >= Number(first) && packet.port <= Number(last));
  };
  const follow = (name: string): string | undefined => {
    for (const rule of chains.get(name)?.rules ?? []) {
      met++;
      if (!matches(rule)) continue;
      const key = /"gwctl:([0-9a-f]{8}):dnat"/.exec(rule)?.[1];
      if (key !== undefined) return key;
      const found = rule.includes('"gwctl:part"') ? follow(/-j (\S+)$/.exec(rule)?.[1] ?? '') : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return { key: follow(chain), met };
}

describe('a packet on its way down', () => {
  it('meets the forward of its listener, and no other', () => {
    fc.assert(
      fc.property(forwards, (all) => {
        // As the planner would have it: no two take the same packet.
        const clash = (a: PlacedForward, b: PlacedForward) =>
          a.listen.address?.text === b.listen.address?.text &&
          (a.listen.ports?.first ?? 0) <= (b.listen.ports?.last ?? 0) &&
          (b.listen.ports?.first ?? 0) <= (a.listen.ports?.last ?? 0);
        const free = all.filter((f, i) => f.listen.address && !all.slice(0, i).some((g) => clash(f, g)));
        const chains = treeChains(DNAT_TREE, treeOf(free.flatMap(listenersOf)));
        for (const { key, listen } of free)
          for (const port of [listen.ports?.first, listen.ports?.last])
            expect(walk(chains, DNAT_TREE.root, { address: listen.address?.text ?? '', port: port ?? 0 }).key).toBe(key);
        expect(walk(chains, DNAT_TREE.root, { address: '9.9.9.9', port: 80 }).key).toBeUndefined();
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    ['of one address', (i: number) => at(i, '203.0.113.10', 1000 + i)],
    ['of as many addresses', (i: number) => at(i, `100.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`, 443)],
  ])('asks few rules among 40,000 forwards %s', (_, one) => {
    const all = Array.from({ length: 40_000 }, (_, i) => one(i));
    const chains = treeChains(DNAT_TREE, treeOf(all.flatMap(listenersOf)));
    const met = all
      .filter((_, i) => i % 97 === 0)
      .map(
        ({ listen }) => walk(chains, DNAT_TREE.root, { address: listen.address?.text ?? '', port: listen.ports?.first ?? 0 }).met,
      );
    expect(Math.max(...met)).toBeLessThanOrEqual(90);
    expect(met.reduce((a, b) => a + b, 0) / met.length).toBeLessThanOrEqual(50);
    for (const [name, chain] of chains) {
      expect(name.length).toBeLessThanOrEqual(28);
      expect(chain?.rules.length).toBeLessThanOrEqual(2 * MOST_TOGETHER);
    }
  });

  it('writes few chains for one more among thousands', () => {
    const all = Array.from({ length: 5000 }, (_, i) => at(i, '203.0.113.10', 1000 + i));
    const before = treeOf(all.flatMap(listenersOf));
    const [more] = listenersOf(at(9999, '203.0.113.10', 40_000));
    if (!more) throw new Error('no listener');
    expect(treeChains(DNAT_TREE, withListener(before, more), before).size).toBeLessThanOrEqual(4);
  });

  it('names of IPv6 fit, and differ', () => {
    const all = Array.from({ length: 3000 }, (_, i) =>
      at(i, `2001:db8:${(i % 7).toString(16)}:${(i % 300).toString(16)}::${(i + 1).toString(16)}`, 443),
    );
    const chains = [...treeChains(DNAT_TREE, treeOf(all.flatMap(listenersOf)))];
    for (const [name] of chains) expect(name.length).toBeLessThanOrEqual(28);
    const found = chains.flatMap(([, c]) => c?.rules.filter((r) => r.includes(':dnat"')) ?? []);
    expect(new Set(found).size).toBe(3000);
    expect(found.length).toBe(3000);
  });
});
