import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TICK, Timer, Wheel } from './wheel.js';

const unexpected = (error: unknown) => {
  throw error;
};

describe('Wheel', () => {
  it('runs each timer once, never early and at most a tick and a step late', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 40_000 }), { minLength: 1, maxLength: 30 }),
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 100, maxLength: 200 }),
        (delays, steps) => {
          const wheel = new Wheel(1000);
          let [now, before] = [1000, 1000];
          const ran: number[] = [];
          delays.forEach((delay, i) => {
            const due = 1000 + delay;
            const run = () => {
              expect(now).toBeGreaterThanOrEqual(due);
              expect(due + TICK).toBeGreaterThan(before - TICK);
              ran.push(i);
            };
            wheel.set(new Timer(run), due);
          });
          for (const step of [...steps, 50_000]) {
            [before, now] = [now, now + step];
            wheel.turn(now, unexpected);
          }
          expect(ran.toSorted((a, b) => a - b)).toEqual(delays.map((_, i) => i));
          expect(wheel.size).toBe(0);
        },
      ),
    );
  });

  it('says how long nothing will be due', () => {
    const wheel = new Wheel(0);
    expect(wheel.wait(0)).toBeUndefined();
    wheel.set(new Timer(() => undefined), 100);
    const wait = wheel.wait(0) ?? 0;
    expect(wait).toBeGreaterThanOrEqual(100);
    expect(wait).toBeLessThan(100 + TICK);
  });

  it('does not run what another timer of the same moment cleared, and runs what it set anew later', () => {
    const wheel = new Wheel(0);
    const ran: string[] = [];
    const cleared = new Timer(() => ran.push('cleared'));
    const moved = new Timer(() => ran.push('moved'));
    const first = new Timer(() => {
      wheel.clear(cleared);
      wheel.set(moved, 1000);
    });
    // The one that was set last comes first.
    for (const timer of [cleared, moved, first]) wheel.set(timer, 50);
    wheel.turn(200, unexpected);
    expect(ran).toEqual([]);
    wheel.turn(1100, unexpected);
    expect(ran).toEqual(['moved']);
  });

  it('goes on after a timer that throws', () => {
    const wheel = new Wheel(0);
    const errors: unknown[] = [];
    let ran = 0;
    for (let i = 0; i < 3; i++)
      wheel.set(
        new Timer(() => {
          ran += 1;
          throw new Error('no');
        }),
        10,
      );
    wheel.turn(100, (error) => errors.push(error));
    expect([ran, errors.length]).toEqual([3, 3]);
  });
});
