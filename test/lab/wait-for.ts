import { setTimeout as pause } from 'node:timers/promises';

export interface WaitForOptions {
  /** What is awaited; begins the error's sentence: "`what` did not come true". */
  what: string;
  /** Default 5000. */
  timeoutMs?: number;
  /** Between two looks, default 5. */
  intervalMs?: number;
}

/**
 * Looks until the condition gives something other than false, null or undefined, and returns that. For what announces
 * itself, await the event instead. A condition that throws counts as not yet; the last error is the time-out's cause.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: WaitForOptions,
): Promise<Exclude<T, false | null | undefined>> {
  const timeoutMs = options.timeoutMs ?? 5000;
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== false && value !== null && value !== undefined) return value as Exclude<T, false | null | undefined>;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() >= deadline) {
      const why = lastError instanceof Error ? `: ${lastError.message}` : '';
      throw new Error(`${options.what}: not within ${timeoutMs} ms${why}`, { cause: lastError });
    }
    await pause(options.intervalMs ?? 5);
  }
}
