import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatPortRange, MAX_RANGE_WIDTH, makePortRange, parsePort, parsePortRange, rangesOverlap } from './ports.js';

const port = fc.integer({ min: 1, max: 65535 });
const range = fc
  .tuple(port, fc.integer({ min: 0, max: MAX_RANGE_WIDTH - 1 }))
  .map(([first, width]) => ({ first, last: Math.min(65535, first + width) }));

describe('port ranges', () => {
  it('read back what they wrote', () => {
    fc.assert(fc.property(range, (r) => void expect(parsePortRange(formatPortRange(r))).toEqual({ ok: true, value: r })));
  });

  it.each([0, 65536, 70000, -1, 1.5, Number.NaN])('refuse port %s', (bad) => {
    expect(parsePort(bad).ok).toBe(false);
    expect(makePortRange(bad, 80).ok).toBe(false);
  });

  it.each(['', '0', '70000', '80-', '-80', '1-2-3', '80x', '٣', '1e3', '+80', ' 80'])('refuse %j', (text) => {
    expect(parsePortRange(text).ok).toBe(false);
  });

  it('say how to write a reversed range', () => {
    expect(parsePortRange('90-80')).toEqual({ ok: false, error: '90-80 is reversed; write the lower port first: 80-90' });
  });

  it(`are at most ${MAX_RANGE_WIDTH} wide`, () => {
    expect(makePortRange(1000, 1000 + MAX_RANGE_WIDTH - 1).ok).toBe(true);
    expect(makePortRange(1000, 1000 + MAX_RANGE_WIDTH).ok).toBe(false);
  });

  it('overlap exactly when they share a port', () => {
    fc.assert(
      fc.property(range, range, (a, b) => {
        const shares = Math.max(a.first, b.first) <= Math.min(a.last, b.last);
        expect(rangesOverlap(a, b)).toBe(shares);
      }),
    );
  });
});
