import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cleanJson, cleanText } from './untrusted-text.js';

describe('untrusted text', () => {
  it('keeps words and loses what could forge a terminal or break the database', () => {
    expect(cleanText('grüße: 10022 in use by sshd (1234)')).toBe('grüße: 10022 in use by sshd (1234)');
    expect(cleanText('\u001b[2J\0\u202eevil\r\n')).toBe('\ufffd[2J\ufffd\ufffdevil\ufffd\ufffd');
    expect(cleanText('x'.repeat(5_000))).toHaveLength(1_003);
  });

  it('is well-formed whatever came in', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const clean = cleanText(text);
        expect(clean.isWellFormed()).toBe(true);
        expect(clean).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
      }),
    );
  });

  it('reaches every string of a report', () => {
    expect(cleanJson({ a: ['\0', { b: '\u0007', n: 1, t: true, z: null }] })).toEqual({
      a: ['\ufffd', { b: '\ufffd', n: 1, t: true, z: null }],
    });
  });
});
