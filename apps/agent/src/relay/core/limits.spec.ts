import { describe, expect, it } from 'vitest';
import { Limits } from './limits.js';

describe('Limits', () => {
  it('counts without caps', () => {
    const limits = new Limits({});
    for (let i = 0; i < 3; i++) expect(limits.enter('a')).toBeUndefined();
    expect(limits.open).toBe(3);
  });

  it('keeps out who is over a cap, and lets in again who left', () => {
    const limits = new Limits({ maxConnections: 3, maxConnectionsPerClient: 2 });
    expect(['a', 'a', 'a', 'b', 'c'].map((c) => limits.enter(c))).toEqual([undefined, undefined, 'client', undefined, 'forward']);
    limits.leave('b');
    expect(limits.enter('a')).toBe('client');
    expect(limits.enter('c')).toBeUndefined();
  });

  it('holds new caps against who was there before', () => {
    const limits = new Limits({});
    for (let i = 0; i < 3; i++) limits.enter('a');
    limits.caps = { maxConnectionsPerClient: 2 };
    limits.leave('a');
    expect([limits.open, limits.enter('a'), limits.enter('b')]).toEqual([2, 'client', undefined]);
  });

  it('does not count below nothing', () => {
    const limits = new Limits({});
    expect(() => limits.leave('a')).toThrow('more connections');
  });
});
