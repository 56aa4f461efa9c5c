import { describe, expect, it } from 'vitest';
import { Turnstile } from './turnstile.js';

describe('turnstile', () => {
  it('lets so many in at once, the others in turn, also after failures', async () => {
    const turnstile = new Turnstile(3);
    let inside = 0;
    let most = 0;
    const done: number[] = [];
    const work = (i: number) =>
      turnstile.pass(async () => {
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setImmediate(resolve));
        inside--;
        done.push(i);
        if (i % 4 === 0) throw new Error(`${i}`);
      });
    const results = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => work(i)));
    expect(most).toBe(3);
    expect(done).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(results.filter((r) => r.status === 'rejected')).toHaveLength(5);
    await work(1);
  });
});
