import { contains } from '@gwctl/shared/domain/ip';
import { addressBytes } from '@gwctl/shared/domain/ip-bytes';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ip } from '../../testing/placed.js';
import { cidrs } from '../testing.js';
import { AllowList } from './allow.js';

describe('AllowList', () => {
  it('lets anyone in without a list, and nobody with an empty one', () => {
    for (const address of ['192.0.2.1', '2001:db8::1']) {
      expect(new AllowList(undefined).allowsText(address)).toBe(true);
      expect(new AllowList([]).allowsText(address)).toBe(false);
    }
  });

  it('knows the first and last address of a network, and its neighbours', () => {
    const list = new AllowList(cidrs('192.0.2.64/26', '10.0.0.0/8', '255.255.255.255/32', '2001:db8:0:40::/58'));
    const answers = (...texts: readonly string[]) => texts.map((t) => list.allowsText(t));
    expect(answers('192.0.2.63', '192.0.2.64', '192.0.2.127', '192.0.2.128')).toEqual([false, true, true, false]);
    expect(answers('9.255.255.255', '10.0.0.0', '10.255.255.255', '11.0.0.0')).toEqual([false, true, true, false]);
    expect(answers('255.255.255.254', '255.255.255.255')).toEqual([false, true]);
    expect(answers('2001:db8:0:3f:ffff::', '2001:db8:0:40::', '2001:db8:0:7f:ffff:ffff:ffff:ffff', '2001:db8:0:80::')).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  it('takes everything of a family for prefix 0', () => {
    const list = new AllowList(cidrs('0.0.0.0/0'));
    expect(['0.0.0.0', '255.255.255.255', '::1'].map((t) => list.allowsText(t))).toEqual([true, true, false]);
    expect(new AllowList(cidrs('::/0')).allowsText('ffff::')).toBe(true);
  });

  it('counts IPv4 mapped into IPv6 as IPv4', () => {
    const list = new AllowList(cidrs('192.0.2.0/24', '::/0'));
    expect(list.allowsText('::ffff:192.0.2.9')).toBe(true);
    expect(list.allowsText('::ffff:192.0.3.9')).toBe(false);
    const raw = Uint8Array.from([7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 3, 9]);
    expect(list.allows(raw, 1, 16)).toBe(false);
  });

  it('says the same as asking each network', () => {
    const v4 = fc
      .tuple(fc.nat(15), fc.nat(255), fc.integer({ min: 4, max: 32 }))
      .map(([a, b, p]) => network(`${a}.${b}.0.${b}`, p));
    const v6 = fc
      .tuple(fc.nat(15), fc.nat(255), fc.integer({ min: 16, max: 128 }))
      .map(([a, b, p]) => network(`${a}:${b}::${b}`, p));
    const address = fc.oneof(
      fc.tuple(fc.nat(15), fc.nat(255), fc.nat(255)).map(([a, b, c]) => `${a}.${b}.0.${c}`),
      fc.tuple(fc.nat(15), fc.nat(255), fc.nat(255)).map(([a, b, c]) => `${a + 1}:${b}::${c}`),
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(v4, v6), { maxLength: 20 }), fc.array(address, { maxLength: 20 }), (texts, addresses) => {
        const networks = cidrs(...texts);
        const list = new AllowList(networks);
        for (const text of [...addresses, ...networks.map((n) => n.network)])
          expect(list.allowsText(text), text).toBe(networks.some((n) => contains(n, ip(text))));
      }),
    );
  });
});

function network(address: string, prefix: number): string {
  const bytes = addressBytes(address).map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, prefix - 8 * i))) & 0xff);
  const text =
    bytes.length === 4
      ? bytes.join('.')
      : Array.from({ length: 8 }, (_, i) => (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16)).join(':');
  return `${text}/${prefix}`;
}
