import { describe, expect, it } from 'vitest';
import { listenFailure } from './listen-trouble.js';
import { blamesTarget, connectTrouble } from './trouble.js';

describe('listenFailure', () => {
  it.each([
    ['EADDRINUSE', 'PORT_IN_USE', '[::1]:53/udp is taken'],
    ['EACCES', 'PORT_NOT_PERMITTED', 'CAP_NET_BIND_SERVICE'],
    ['EADDRNOTAVAIL', 'ADDRESS_UNKNOWN', '::1 is no address of this gateway'],
    ['ENODEV', 'INTERFACE_UNKNOWN', 'no interface eth7'],
    ['EMFILE', 'LISTEN_FAILED', 'EMFILE'],
  ])('says what %s means', (code, reason, words) => {
    const failure = listenFailure({ transport: 'udp', address: '::1', port: 53, interface: 'eth7' }, code);
    expect(failure).toEqual({ reason, message: expect.stringContaining(words) });
  });
});

describe('connectTrouble', () => {
  it('names the target and says what is wrong', () => {
    const target = { address: '2001:db8::1', port: 80 };
    expect(connectTrouble(target, 'ECONNREFUSED')).toContain('[2001:db8::1]:80 refuses connections');
    expect(connectTrouble(target, 'TIMEOUT', 5000)).toBe('[2001:db8::1]:80 did not answer within 5000 ms');
    expect(connectTrouble(target, 'EWHATEVER')).toContain('(EWHATEVER)');
  });

  it('blames no target for what this host lacks', () => {
    expect(['ECONNREFUSED', 'TIMEOUT', 'EHOSTUNREACH'].map(blamesTarget)).toEqual([true, true, true]);
    expect(['EMFILE', 'EADDRNOTAVAIL', 'ENOBUFS'].map(blamesTarget)).toEqual([false, false, false]);
  });
});
