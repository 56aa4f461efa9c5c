import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Outbound } from './outbound.js';

describe('outbound', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const make = () => {
    const written: (() => void)[] = [];
    const lags: string[] = [];
    const outbound = new Outbound({
      write: (_, done) => void written.push(() => done()),
      onLag: (error) => lags.push(error.reason),
    });
    return { outbound, written, lags };
  };

  it('waits while half a megabyte is on the way', async () => {
    const { outbound, written } = make();
    const part = Buffer.alloc(256 * 1024);
    await outbound.send(part);
    await outbound.send(part);
    let third = false;
    const sending = outbound.send(part).then(() => {
      third = true;
    });
    await vi.advanceTimersByTimeAsync(1_000);
    expect([written.length, third]).toEqual([2, false]);
    written[0]?.();
    await sending;
    expect([written.length, third]).toEqual([3, true]);
  });

  it('sends one message that is larger than the limit by itself', async () => {
    const { outbound, written } = make();
    await outbound.send(Buffer.alloc(1 << 20));
    expect(written).toHaveLength(1);
  });

  it('gives up on a reader that takes nothing for a minute, not on one that is slow', async () => {
    const { outbound, written, lags } = make();
    await outbound.send(Buffer.alloc(300_000));
    await outbound.send(Buffer.alloc(100_000));
    await vi.advanceTimersByTimeAsync(59_000);
    written[0]?.();
    await vi.advanceTimersByTimeAsync(59_000);
    expect(lags).toEqual([]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(lags).toEqual(['READER_TOO_SLOW']);
  });

  it('holds nobody once it is closed', async () => {
    const { outbound, lags } = make();
    await outbound.send(Buffer.alloc(600_000));
    const waiting = outbound.send(Buffer.alloc(600_000));
    outbound.close();
    await waiting;
    await vi.advanceTimersByTimeAsync(120_000);
    expect(lags).toEqual([]);
  });
});
