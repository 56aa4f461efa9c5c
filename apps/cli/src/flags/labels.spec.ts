import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { changeLabels, formatLabels, mergeLabels, parseLabel, parseLabelChange, parseSelector } from './labels.js';

const key = fc.stringMatching(/^[a-z][a-z0-9]{0,10}$/);
const value = fc.stringMatching(/^[a-zA-Z0-9]{0,10}$/);

describe('labels', () => {
  it.each([
    ['team=web', { kind: 'put', key: 'team', value: 'web' }],
    ['team=', { kind: 'put', key: 'team', value: '' }],
    ['example.net/team=web', { kind: 'put', key: 'example.net/team', value: 'web' }],
    ['old-', { kind: 'remove', key: 'old' }],
  ])('reads the change %s', (text, expected) => {
    expect(parseLabelChange(text)).toEqual({ ok: true, value: expected });
  });

  it.each(['', '=', '=web', 'team', '-', 'a b=c', 'a=b=c', 'a=b c', '__proto__=x', 'team=\u001b[2J'])('refuses %j', (text) => {
    expect(parseLabelChange(text).ok).toBe(false);
  });

  it('does not remove where a label is set', () => {
    expect(parseLabel('old-').ok).toBe(false);
  });

  it('refuses one key with two values', () => {
    const pairs = [parseLabel('a=1'), parseLabel('a=2')].flatMap((r) => (r.ok ? [r.value] : []));
    expect(mergeLabels(pairs)).toEqual({ ok: false, error: '"a" is given twice, as "1" and "2"' });
  });

  it('changes in order', () => {
    expect(
      changeLabels({ a: '1', b: '2' }, [
        { kind: 'put', key: 'c', value: '3' },
        { kind: 'remove', key: 'a' },
        { kind: 'remove', key: 'unknown' },
      ]),
    ).toEqual({ ok: true, value: { b: '2', c: '3' } });
  });

  it('selectors read back what is shown of them', () => {
    fc.assert(
      fc.property(fc.dictionary(key, value, { minKeys: 1, maxKeys: 6 }), (labels) => {
        expect(parseSelector(formatLabels(labels))).toEqual({ ok: true, value: { ...labels } });
      }),
    );
  });

  it.each(['', 'site', 'site=tokyo,', ',site=tokyo', 'site=a,site=b'])('refuses the selector "%s"', (text) => {
    expect(parseSelector(text).ok).toBe(false);
  });
});
