import type { Random } from '../clock.js';

/** Milliseconds. */
const FIRST = 500;
const LONGEST = 60_000;

/**
 * Full jitter: uniform between nothing and a bound that doubles from 0.5 s to 60 s, so that agents that lost the same control plane
 * come back spread out. (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)
 */
export function backOff(failures: number, random: Random): number {
  return random() * Math.min(LONGEST, FIRST * 2 ** Math.min(failures, 20));
}
