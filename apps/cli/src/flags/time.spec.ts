import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAge, formatDuration, MAX_DURATION_MS, parseDuration, parseDurationWithin } from './duration.js';
import { formatTime, parseExpiry, parseExpiryOrNever, resolveExpiry } from './time.js';

const NOW = Date.UTC(2026, 0, 2, 12);

describe('parseDuration', () => {
  it.each([
    ['30s', 30_000],
    ['8h', 28_800_000],
    ['1h30m', 5_400_000],
    ['250ms', 250],
    ['2w', 1_209_600_000],
    ['1d12h', 129_600_000],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toEqual({ ok: true, value: ms });
  });

  it.each(['', '8', 'h', '-8h', '8 h', '8H', '1.5h', '0s', '0h0m', '8h ', '99999w', '9999999999999s'])('refuses "%s"', (text) => {
    expect(parseDuration(text).ok).toBe(false);
  });

  it('reads back every whole second that it writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: MAX_DURATION_MS / 1000 }), (seconds) => {
        expect(parseDuration(formatDuration(seconds * 1000))).toEqual({ ok: true, value: seconds * 1000 });
      }),
    );
  });

  it('keeps to bounds', () => {
    const parse = parseDurationWithin(1000, 3_600_000, '1s to 1h');
    expect(parse('1h').ok).toBe(true);
    expect(parse('999ms')).toEqual({ ok: false, error: '"999ms" is not within 1s to 1h' });
    expect(parse('61m').ok).toBe(false);
  });
});

describe('formatAge', () => {
  it.each([
    [-5, '0s'],
    [119_000, '119s'],
    [120_000, '2m'],
    [7_200_000, '2h'],
    [172_800_000, '2d'],
  ])('%i ms is %s', (ms, text) => {
    expect(formatAge(ms)).toBe(text);
  });
});

describe('parseExpiry', () => {
  it.each([
    ['8h', { kind: 'in', ms: 28_800_000 }],
    ['2026-12-01T00:00:00Z', { kind: 'at', time: Date.UTC(2026, 11, 1) }],
    ['2026-12-01T09:00:00+09:00', { kind: 'at', time: Date.UTC(2026, 11, 1) }],
    ['2026-12-01T00:00Z', { kind: 'at', time: Date.UTC(2026, 11, 1) }],
    ['2026-12-01 00:00:00Z', { kind: 'at', time: Date.UTC(2026, 11, 1) }],
  ])('reads %s', (text, expected) => {
    expect(parseExpiry(text)).toEqual({ ok: true, value: expected });
  });

  it.each([
    '',
    '8',
    'tomorrow',
    '2026-12-01',
    '2026-12-01T00:00:00',
    '2026-13-01T00:00:00Z',
    '2026-02-30T00:00:00Z',
    'never',
    '8x',
  ])('refuses "%s"', (text) => {
    expect(parseExpiry(text).ok).toBe(false);
  });

  it('reads never only where it may', () => {
    expect(parseExpiryOrNever('never')).toEqual({ ok: true, value: { kind: 'never' } });
  });

  it('reads back every second that it writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_102_444_800 }), (seconds) => {
        expect(parseExpiry(formatTime(seconds * 1000))).toEqual({ ok: true, value: { kind: 'at', time: seconds * 1000 } });
      }),
    );
  });
});

describe('resolveExpiry', () => {
  it('counts from now', () => {
    expect(resolveExpiry({ kind: 'in', ms: 1000 }, NOW)).toEqual({ ok: true, value: NOW + 1000 });
    expect(resolveExpiry({ kind: 'never' }, NOW)).toEqual({ ok: true, value: undefined });
  });

  it('refuses what has passed', () => {
    expect(resolveExpiry({ kind: 'at', time: NOW }, NOW)).toEqual({
      ok: false,
      error: '2026-01-02T12:00:00Z has passed; name a time to come',
    });
  });
});
