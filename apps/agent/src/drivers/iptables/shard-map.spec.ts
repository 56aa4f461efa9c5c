import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShardMap } from './shard-map.js';

const changes = fc.array(fc.tuple(fc.constantFrom(...'abcdefghij'), fc.option(fc.nat(3), { nil: undefined })), { maxLength: 30 });

describe('ShardMap', () => {
  it('holds what a map holds, and leaves the one it came from alone', () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 5 }), (rounds) => {
        const plain = new Map<string, number>();
        let map = ShardMap.of<number>();
        for (const round of rounds) {
          const before = [...map].sort();
          const next = map.with(round);
          expect([...map].sort()).toEqual(before);
          for (const [key, value] of round)
            if (value === undefined) plain.delete(key);
            else plain.set(key, value);
          expect([...next].sort()).toEqual([...plain].sort());
          expect(next.size).toBe(plain.size);
          map = next;
        }
      }),
    );
  });

  it('tells exactly what differs', () => {
    fc.assert(
      fc.property(changes, changes, (first, second) => {
        const a = ShardMap.of<number>().with(first);
        const b = a.with(second);
        const found = [...b.changes(a)].map(([key, now, was]) => [key, now, was]).sort();
        const keys = new Set([...a.keys(), ...b.keys()]);
        const expected = [...keys].filter((k) => a.get(k) !== b.get(k)).map((k) => [k, b.get(k), a.get(k)]);
        expect(found).toEqual(expected.sort());
      }),
    );
  });

  it('is the same object where nothing changed', () => {
    const map = ShardMap.of([['a', 1]]);
    expect(map.with([['a', 1]])).toBe(map);
    expect(map.with([['b', undefined]])).toBe(map);
  });
});
