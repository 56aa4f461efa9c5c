import { describe, expect, it } from 'vitest';
import { ClientTable, KEY_WORDS } from './udp-clients.js';

describe('table of clients', () => {
  it.each([4, 6] as const)('finds what was added and not deleted, IPv%i', (family) => {
    const words = KEY_WORDS[family];
    const table = new ClientTable<number>(words);
    const model = new Map<string, { readonly key: Int32Array; readonly value: number }>();
    // Few different words, so that keys differ in one only, and are added and deleted many times.
    const random = randomNumbers(7);
    for (let step = 0; step < 6_000; step++) {
      const key = Int32Array.from({ length: words }, (_, i) => (i === step % words ? random(400) - 200 : 1));
      const name = key.join();
      table.probe.set(key);
      const known = model.get(name);
      expect(table.find()).toBe(known?.value);
      // It grows for the first half and shrinks for the second.
      if (known && random(10) < (step < 3_000 ? 3 : 8)) {
        table.delete(known.key);
        model.delete(name);
      } else if (!known && random(10) < (step < 3_000 ? 8 : 3)) {
        table.add(step);
        model.set(name, { key, value: step });
      }
      expect(table.size).toBe(model.size);
    }
    expect([...table.values()].sort()).toEqual([...model.values()].map((v) => v.value).sort());
    for (const { key, value } of model.values()) {
      table.probe.set(key);
      expect(table.find()).toBe(value);
    }
  });

  it('takes no notice of a key that is not there', () => {
    const table = new ClientTable<string>(3);
    table.delete(Int32Array.of(1, 2, 3));
    expect(table.size).toBe(0);
  });
});

/** Numbers from 0 to below `most`, the same in each run (mulberry32). */
function randomNumbers(seed: number): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % most;
  };
}
