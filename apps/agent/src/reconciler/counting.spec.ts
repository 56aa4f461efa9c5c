import { createLogger } from '@gwctl/shared/logging/logger';
import { expect, it } from 'vitest';
import type { Clock } from '../clock.js';
import { settle } from '../testing/fake-clock.js';
import { Counting } from './counting.js';

/** Milliseconds until each count after the first, of counts that take this long. */
async function pauses(...takes: readonly number[]): Promise<readonly number[]> {
  let time = 0;
  let run = () => {};
  const asked: number[] = [];
  const clock: Clock = {
    now: () => time,
    monotonic: () => time,
    after: (ms, next) => {
      asked.push(ms);
      run = next;
      return { cancel: () => undefined };
    },
  };
  const left = [...takes];
  const counting = new Counting({
    driver: {
      counters: async () => {
        time += left.shift() ?? 0;
        return new Map();
      },
    },
    clock,
    log: createLogger({ name: 'spec', level: 'silent' }),
    carried: () => ({ forwards: [], relayed: [], egresses: [], protected: [], announced: [] }),
    onCounted: () => undefined,
  });
  counting.start();
  for (let i = 0; i < takes.length; i++) {
    run();
    await settle();
  }
  counting.stop();
  return asked.slice(1);
}

it('counts less often where that always takes long, and no less for one that hung once', async () => {
  expect(await pauses(10, 10)).toEqual([15_000, 15_000]);
  expect(await pauses(100, 100, 120)).toEqual([15_000, 50_000, 50_000]);
  expect(await pauses(10, 2_000, 10)).toEqual([15_000, 15_000, 15_000]);
});
