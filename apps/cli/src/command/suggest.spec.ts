import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { distance, suggest } from './suggest.js';

describe('suggest', () => {
  it.each([
    ['forwrd', 'forward'],
    ['fowrard', 'forward'],
    ['gw', undefined],
    ['gate', 'gateway'],
    ['statsu', 'status'],
    ['egress', undefined],
  ])('%s: %s', (word, expected) => {
    expect(suggest(word, ['forward', 'gateway', 'status', 'events', 'login'])).toBe(expected);
  });

  it('counts as edit distances do', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), (a, b) => {
        expect(distance(a, b)).toBe(distance(b, a));
        expect(distance(a, b) === 0).toBe(a === b);
        expect(distance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });
});
