import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatJoinString, parseJoinString } from './join-string.js';

const join = {
  servers: ['127.0.0.1:7443', '[2001:db8::1]:7443'],
  caFingerprint: 'ab'.repeat(32),
  gateway: 'gw1',
  token: 'secret-token',
};

describe('join string', () => {
  it('reads back what it wrote, also with white space around it', () => {
    expect(parseJoinString(` ${formatJoinString(join)}\n`)).toEqual({ ok: true, value: join });
  });

  it('never repeats its secret in an error, and never throws', () => {
    const text = formatJoinString(join);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string(), (at, noise) => {
        const parsed = parseJoinString(text.slice(0, at) + noise);
        if (!parsed.ok) expect(parsed.error).not.toContain('secret');
      }),
    );
  });

  it('tells a later version from a damaged string', () => {
    expect(parseJoinString('gwctl-join-2.abc')).toMatchObject({ error: expect.stringContaining('update this agent') });
    expect(parseJoinString('gwctl-join-1.abc')).toMatchObject({ error: expect.stringContaining('damaged') });
    expect(parseJoinString('hello')).toMatchObject({ error: expect.stringContaining('not a join string') });
  });
});
