import { describe, expect, it } from 'vitest';
import { ConnectionCaps, MAX_UNAUTHENTICATED_PER_ADDRESS } from './connection-caps.js';

describe('connection caps', () => {
  it('count those that have not proved themselves, by address', () => {
    const caps = new ConnectionCaps();
    for (let i = 0; i < MAX_UNAUTHENTICATED_PER_ADDRESS; i++) expect(caps.admit('a', `a|${i}`)).toBe(true);
    expect(caps.admit('a', 'a|more')).toBe(false);
    expect(caps.admit('b', 'b|1')).toBe(true);
    caps.authenticated('a|0');
    expect(caps.admit('a', 'a|more')).toBe(true);
    expect(caps.admit('a', 'a|again')).toBe(false);
    // One that proved itself frees its place once, not again when it closes.
    caps.closed('a|0');
    expect(caps.admit('a', 'a|again')).toBe(false);
    caps.closed('a|1');
    expect(caps.admit('a', 'a|again')).toBe(true);
  });
});
