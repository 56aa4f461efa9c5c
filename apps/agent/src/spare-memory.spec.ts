import { describe, expect, it } from 'vitest';
import { SpareMemory } from './spare-memory.js';
import { FakeClock } from './testing/fake-clock.js';

describe('memory that nobody needs', () => {
  it('is given back once it is quiet after many changes, and only then', async () => {
    const clock = new FakeClock();
    let collected = 0;
    const spare = new SpareMemory({ clock, collect: () => collected++ });
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
    spare.changed(1);
    await clock.advance(60_000);
    expect(collected).toBe(1);
  });

  it('is left alone where the program cannot', () => {
    const spare = new SpareMemory({ clock: new FakeClock(), collect: undefined });
    expect(() => spare.changed(40_000)).not.toThrow();
  });
});
