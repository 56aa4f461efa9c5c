import { AppError } from '@gwctl/shared/errors/app-error';
import type { Context } from '../context.js';
import { CliError } from '../errors/cli-error.js';

/** Milliseconds between two attempts to watch again after the control plane went away. */
const PAUSE_MS = 500;

/** When a wait ends by itself. */
export interface Deadline {
  readonly signal: AbortSignal;
  /** Calls off the timer. */
  cancel(): void;
}

export function deadlineAfter(context: Context, ms: number): Deadline {
  const controller = new AbortController();
  return { signal: controller.signal, cancel: context.clock.after(ms, () => controller.abort()) };
}

/**
 * Watches until `judge` gives a value; undefined when the deadline passed first. A control plane that goes away meanwhile (a
 * restart, a fail-over) is watched again: a watch begins with what is, so nothing is missed.
 */
export async function watchUntil<T, R>(
  context: Context,
  deadline: Deadline,
  watch: (signal: AbortSignal) => AsyncIterable<T>,
  judge: (seen: T) => R | undefined,
): Promise<R | undefined> {
  const signal = AbortSignal.any([context.signal, deadline.signal]);
  let told = false;
  for (;;) {
    try {
      for await (const seen of watch(signal)) {
        const verdict = judge(seen);
        if (verdict !== undefined) return verdict;
      }
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      if (!told) context.talk(`still waiting, but ${error instanceof Error ? error.message : String(error)}`);
      told = true;
    }
    if (context.signal.aborted) throw new CliError({ kind: 'interrupted', message: 'interrupted' });
    if (deadline.signal.aborted) return undefined;
    await pause(context, signal);
  }
}

const isUnavailable = (error: unknown): boolean => {
  const app = error instanceof CliError ? error.cause : error;
  return app instanceof AppError && app.code === 'UNAVAILABLE';
};

function pause(context: Context, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const cancel = context.clock.after(PAUSE_MS, resolve);
    signal.addEventListener(
      'abort',
      () => {
        cancel();
        resolve();
      },
      { once: true },
    );
  });
}
