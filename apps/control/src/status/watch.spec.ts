import { describe, expect, it } from 'vitest';
import type { Notifications, Wakeup } from '../database/notifications.js';
import { watch } from './watch.js';

/** Wake-ups by hand. */
function bell() {
  const listeners = new Set<(wakeup: Wakeup) => void>();
  const notifications = {
    subscribe: (listener: (wakeup: Wakeup) => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  } as unknown as Notifications;
  return { notifications, listeners, ring: (uid: string) => listeners.forEach((l) => void l({ topic: 'entry', uid })) };
}

describe('watch', () => {
  const concerns = (wakeup: Wakeup) => wakeup !== 'everything' && wakeup.uid === 'mine';

  it('yields what differs, reads once for many wake-ups, and frees itself', async () => {
    const { notifications, listeners, ring } = bell();
    let value = 1;
    let reads = 0;
    const end = new AbortController();
    const values = watch({
      notifications,
      signal: end.signal,
      read: async () => {
        reads++;
        return value;
      },
      concerns,
      print: String,
    });
    expect((await values.next()).value).toBe(1);
    const next = values.next();
    await Promise.resolve();
    value = 2;
    ring('other');
    ring('mine');
    ring('mine');
    ring('mine');
    expect((await next).value).toBe(2);
    expect(reads).toBeLessThanOrEqual(3);
    // A change while nobody asks for the next value is not lost.
    value = 3;
    ring('mine');
    expect((await values.next()).value).toBe(3);
    const last = values.next();
    end.abort();
    expect((await last).done).toBe(true);
    expect(listeners.size).toBe(0);
  });

  it('does not miss a change during the very first read', async () => {
    const { notifications, ring } = bell();
    let value = 1;
    const values = watch({
      notifications,
      signal: new AbortController().signal,
      read: async () => {
        const seen = value;
        if (seen === 1) {
          value = 2;
          ring('mine');
        }
        return seen;
      },
      concerns,
      print: String,
    });
    expect((await values.next()).value).toBe(1);
    expect((await values.next()).value).toBe(2);
    await values.return(undefined);
  });

  it('ends with what the read throws', async () => {
    const { notifications, listeners } = bell();
    const values = watch({
      notifications,
      signal: new AbortController().signal,
      read: () => Promise.reject(new Error('gone')),
      concerns,
      print: String,
    });
    await expect(values.next()).rejects.toThrow('gone');
    expect(listeners.size).toBe(0);
  });
});
