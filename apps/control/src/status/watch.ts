import type { Notifications, Wakeup } from '../database/notifications.js';

/**
 * Reads something again whenever a wake-up may concern it, and yields it when it differs. Wake-ups during a read are answered by
 * one more read, so a burst costs as many reads as fit, not one each. Ends with the signal, or with what `read` throws (for
 * instance NOT_FOUND once it is deleted).
 */
export async function* watch<T>(options: {
  readonly notifications: Notifications;
  readonly signal: AbortSignal;
  readonly read: () => Promise<T>;
  /** Whether a wake-up may concern what was last read. */
  readonly concerns: (wakeup: Wakeup, last: T) => boolean;
  /** Tells values apart. */
  readonly print: (value: T) => string;
}): AsyncGenerator<T> {
  const { notifications, signal, read, concerns, print } = options;
  let dirty = false;
  let last: T | undefined;
  let wake = (): void => undefined;
  const unsubscribe = notifications.subscribe((wakeup) => {
    if (last !== undefined && !concerns(wakeup, last)) return;
    dirty = true;
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    let printed: string | undefined;
    while (!signal.aborted) {
      dirty = false;
      last = await read();
      const now = print(last);
      if (now !== printed) yield last;
      printed = now;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (dirty || signal.aborted) resolve();
      });
    }
  } finally {
    unsubscribe();
    signal.removeEventListener('abort', onAbort);
  }
}
