/** A timer that was set and can be taken back. */
export interface Timer {
  cancel(): void;
}

/** Time as the agent sees it. Everything that waits takes it as an argument, so that tests own it. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch; may jump. Only for what people and certificates call time. */
  now(): number;
  /** Milliseconds that never go back; for how long things take. */
  monotonic(): number;
  /** Runs `run` once after `ms` of monotonic time. */
  after(ms: number, run: () => void): Timer;
}

/** Uniform in [0, 1). */
export type Random = () => number;

/** setTimeout holds its delay in 32 bits and fires at once beyond that. */
const LONGEST_TIMER = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    const handle = setTimeout(run, Math.min(Math.max(0, ms), LONGEST_TIMER));
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Resolves after `ms`, or as soon as `signal` is aborted. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(ms, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}
