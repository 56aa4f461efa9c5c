import { describe, expect, it } from 'vitest';
import { SpareMemory } from './spare-memory.js';
import { FakeClock } from './testing/fake-clock.js';

describe('memory that nobody needs', () => {
  it('is given back once it is quiet after many changes, and only then', async () => {
    const clock = new FakeClock();
    let collected = 0;
    const order: string[] = [];
    const collect = () => {
      collected++;
      order.push('collected');
    };
    const spare = new SpareMemory({ clock, collect, giveBack: () => order.push('given back') });
    await clock.advance(60_000);
    expect(collected).toBe(0);
    // What starting took.
    spare.changed(0);
    await clock.advance(60_000);
    expect(order.splice(0)).toEqual(['collected', 'given back']);
    collected = 0;
    spare.changed(10);
    await clock.advance(60_000);
    expect(collected).toBe(0);
    spare.changed(40_000);
    await clock.advance(4_000);
    spare.changed(1);
    await clock.advance(4_000);
    expect(collected).toBe(0);
    await clock.advance(1_000);
    expect(collected).toBe(1);
    expect(order).toEqual(['collected', 'given back']);
    spare.changed(1);
    await clock.advance(60_000);
    expect(collected).toBe(1);
  });

  it('is given back too where reading the host left much of it, once', async () => {
    const clock = new FakeClock();
    let [collected, mebibytes] = [0, 100];
    const spare = new SpareMemory({ clock, collect: () => collected++, resident: () => mebibytes * 2 ** 20 });
    spare.changed(40_000);
    await clock.advance(5_000);
    expect(collected).toBe(1);
    for (const [now, times] of [
      [120, 1],
      [130, 2],
      [140, 2],
    ] as const) {
      mebibytes = now;
      spare.changed(0);
      await clock.advance(15_000);
      expect(collected).toBe(times);
    }
  });

  it('is left alone where the program cannot', () => {
    const spare = new SpareMemory({ clock: new FakeClock(), collect: undefined });
    expect(() => spare.changed(40_000)).not.toThrow();
  });
});
