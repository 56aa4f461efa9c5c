import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ip } from '../../testing/placed.js';
import { addressBytes, addressText, hashAddress, peerText } from './address.js';

describe('addressBytes', () => {
  it.each([
    ['192.0.2.1', [192, 0, 2, 1]],
    ['0.0.0.0', [0, 0, 0, 0]],
    ['255.255.255.255', [255, 255, 255, 255]],
    ['::ffff:192.0.2.1', [192, 0, 2, 1]],
    ['::ffff:c000:201', [192, 0, 2, 1]],
    ['::', new Array<number>(16).fill(0)],
    ['::1', [...new Array<number>(15).fill(0), 1]],
    ['2001:db8::', [0x20, 1, 0x0d, 0xb8, ...new Array<number>(12).fill(0)]],
    ['fe80::1%eth0', [0xfe, 0x80, ...new Array<number>(13).fill(0), 1]],
    ['1:2:3:4:5:6:7:8', [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8]],
  ])('reads %s', (text, bytes) => {
    expect([...addressBytes(text)]).toEqual(bytes);
  });

  it.each(['', '1.2.3', '1.2.3.4.5', '1.2.3.256', '1..2.3', '::1::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '12345::', 'x'])(
    'refuses %j',
    (text) => {
      expect(() => addressBytes(text)).toThrow(RangeError);
    },
  );
});

describe('addressText', () => {
  it('writes what parseIp has as canonical, and reads it back', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const bytes = addressBytes(text);
        expect([...addressBytes(addressText(bytes))]).toEqual([...bytes]);
        // What a user may write is narrower: no IPv4 within IPv6.
        if (text.includes(':') && (text.includes('.') || bytes.length === 4)) return;
        expect(addressText(bytes)).toBe(ip(text).text);
      }),
    );
  });

  it('reads from the middle of a buffer', () => {
    expect(addressText(Uint8Array.from([9, 9, 10, 0, 0, 1, 9]), 2, 4)).toBe('10.0.0.1');
  });

  it('puts IPv6 in brackets beside a port', () => {
    expect([peerText('::1', 80), peerText('10.0.0.1', 80)]).toEqual(['[::1]:80', '10.0.0.1:80']);
  });
});

describe('hashAddress', () => {
  it('is the same for an IPv4 address however a socket shows it', () => {
    const mapped = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1]);
    expect(hashAddress(mapped)).toBe(hashAddress(addressBytes('192.0.2.1')));
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
