import { addressBytes } from '@gwctl/shared/domain/ip-bytes';
import { describe, expect, it } from 'vitest';
import { hashAddress, peerText } from './address.js';

describe('peerText', () => {
  it('puts IPv6 in brackets beside a port', () => {
    expect([peerText('::1', 80), peerText('10.0.0.1', 80)]).toEqual(['[::1]:80', '10.0.0.1:80']);
  });
});

describe('hashAddress', () => {
  it('is the same for an IPv4 address however a socket shows it', () => {
    const mapped = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1]);
    expect(hashAddress(mapped)).toBe(hashAddress(addressBytes('192.0.2.1')));
    expect(hashAddress(Uint8Array.from([7, ...mapped]), 1)).toBe(1291677996);
  });

  it('spreads the hosts of one network evenly', () => {
    const slots = new Array<number>(16).fill(0);
    for (let i = 0; i < 4096; i++) {
      const slot = hashAddress(Uint8Array.from([10, 0, i >> 8, i & 255])) % 16;
      slots[slot] = (slots[slot] ?? 0) + 1;
    }
    expect(Math.min(...slots)).toBeGreaterThan(190);
    expect(Math.max(...slots)).toBeLessThan(330);
  });
});
