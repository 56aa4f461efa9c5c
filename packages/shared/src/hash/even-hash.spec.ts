import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressBytes } from '../domain/ip-bytes.js';
import { hashBytes, hashText } from './even-hash.js';

const ofAddress = (text: string) => {
  const bytes = addressBytes(text);
  return hashBytes(bytes, 0, bytes.length);
};

/** Values that released versions gave: with others, clients would change their targets at an upgrade. */
describe('the even hash', () => {
  it.each([
    ['', 2872998923],
    ['a', 444641715],
    ['0|10.0.0.31|80', 2963059950],
    ['1|10.0.0.31|80', 3457094941],
    ['255|2001:db8::1|0', 2865063910],
  ])('of %j is what it was', (text, hash) => {
    expect(hashText(text)).toBe(hash);
  });

  it.each([
    ['0.0.0.0', 1234692987],
    ['192.0.2.1', 1291677996],
    ['192.0.2.2', 3292353125],
    ['255.255.255.255', 650290018],
    ['2001:db8::1', 4279221231],
    ['2001:db8::2', 144154668],
  ])('of the bytes of %s is what it was', (address, hash) => {
    expect(ofAddress(address)).toBe(hash);
  });

  it('is one, of a text and of its bytes wherever they lie', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), fc.nat(9), (text, at) => {
        const bytes = Uint8Array.from([...new Array<number>(at).fill(7), ...[...text].map((c) => c.charCodeAt(0)), 7]);
        expect(hashBytes(bytes, at, text.length)).toBe(hashText(text));
      }),
    );
  });
});
