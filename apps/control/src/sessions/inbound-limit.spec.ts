import { describe, expect, it } from 'vitest';
import { BURST, InboundLimit, RATE_PER_SECOND } from './inbound-limit.js';

const takeAll = (limit: InboundLimit, now: number): number => {
  let taken = 0;
  while (limit.take(now)) taken++;
  return taken;
};

describe('inbound limit', () => {
  it('allows a burst, then so many a second', () => {
    const limit = new InboundLimit(0);
    expect(takeAll(limit, 0)).toBe(BURST);
    expect(takeAll(limit, 1_000)).toBe(RATE_PER_SECOND);
    expect(takeAll(limit, 3_600_000)).toBe(BURST);
  });

  it('does not count answers that were asked for', () => {
    const limit = new InboundLimit(0);
    // 40 changes a second, each answered by accepted, applied and one report, for a minute.
    for (let i = 0; i < 2_400; i++) {
      limit.pushed();
      for (let answer = 0; answer < 3; answer++) expect(limit.take(i * 25)).toBe(true);
    }
  });

  it('does not save up credit without end', () => {
    const limit = new InboundLimit(0);
    for (let i = 0; i < 10_000; i++) limit.pushed();
    expect(takeAll(limit, 0)).toBeLessThanOrEqual(2 * BURST);
  });
});
