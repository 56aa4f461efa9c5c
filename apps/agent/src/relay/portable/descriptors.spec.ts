import { closeSync, openSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Descriptors } from './descriptors.js';

describe('Descriptors', () => {
  it('knows what the kernel allows this process', () => {
    expect(new Descriptors().limit).toBeGreaterThan(0);
  });

  it('gives away what is left beside the reserve, and says when there is no more', () => {
    const open = new Descriptors().used();
    const some = new Descriptors({ limit: open + 12, reserve: 8 });
    expect([some.take(2), some.take(2), some.paused, some.take(2), some.paused]).toEqual([true, true, false, false, true]);
    some.giveBack(2);
    expect([some.paused, some.take(2)]).toEqual([false, true]);
  });

  it('leaves a quarter to others than one forward', () => {
    const open = new Descriptors().used();
    const some = new Descriptors({ limit: open + 48, reserve: 8 });
    expect([some.fitsShare(30), some.fitsShare(31)]).toEqual([true, false]);
  });

  it('counts what others in this process have open', () => {
    const some = new Descriptors({ reserve: 0 });
    const before = some.used();
    const fd = openSync('/dev/null', 'r');
    expect(some.used()).toBe(before + 1);
    closeSync(fd);
    expect(some.used()).toBe(before);
  });
});
