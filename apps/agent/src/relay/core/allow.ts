import type { Cidr } from '@gwctl/shared/domain/ip';
import { addressBytes, isMapped, readUint32 } from '@gwctl/shared/domain/ip-bytes';

const MAX = 0xffffffff;

/**
 * Who may use a forward, ready to be asked for each connection and each client's first datagram: ranges of 32-bit numbers for IPv4, of
 * four such words for IPv6, searched by halving. IPv4 mapped into IPv6 counts as IPv4.
 */
export class AllowList {
  /** First and last of each range, in turn, rising; undefined: anyone. */
  readonly #v4: Uint32Array | undefined;
  /** The same with four words for each address. */
  readonly #v6: Uint32Array | undefined;

  /** `cidrs` as in a forward: undefined lets anyone in, an empty list nobody. */
  constructor(cidrs: readonly Cidr[] | undefined) {
    if (cidrs === undefined) return;
    this.#v4 = ranges4(cidrs.filter((c) => c.family === 4));
    this.#v6 = ranges6(cidrs.filter((c) => c.family === 6));
  }

  /** `length`: 4 or 16. */
  allows(bytes: Uint8Array, at = 0, length = bytes.length - at): boolean {
    if (this.#v4 === undefined) return true;
    if (length === 4) return this.allowsIpv4(readUint32(bytes, at));
    if (isMapped(bytes, at)) return this.allowsIpv4(readUint32(bytes, at + 12));
    return this.#allowsIpv6(bytes, at);
  }

  /** `address`: the four bytes as one number, the first in front. */
  allowsIpv4(address: number): boolean {
    const ranges = this.#v4;
    if (ranges === undefined) return true;
    let low = 0;
    let high = ranges.length / 2 - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (address < (ranges[2 * middle] ?? 0)) high = middle - 1;
      else if (address > (ranges[2 * middle + 1] ?? 0)) low = middle + 1;
      else return true;
    }
    return false;
  }

  /** As Node.js writes addresses; a zone is left out. */
  allowsText(address: string): boolean {
    return this.#v4 === undefined || this.allows(addressBytes(address));
  }

  #allowsIpv6(bytes: Uint8Array, at: number): boolean {
    const ranges = this.#v6;
    if (ranges === undefined) return true;
    let low = 0;
    let high = ranges.length / 8 - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (order(bytes, at, ranges, 8 * middle) < 0) high = middle - 1;
      else if (order(bytes, at, ranges, 8 * middle + 4) > 0) low = middle + 1;
      else return true;
    }
    return false;
  }
}

/** Below 0: the address comes before the one in `ranges`. */
function order(bytes: Uint8Array, at: number, ranges: Uint32Array, index: number): number {
  for (let i = 0; i < 4; i++) {
    const difference = readUint32(bytes, at + 4 * i) - (ranges[index + i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function ranges4(cidrs: readonly Cidr[]): Uint32Array {
  const ranges = cidrs
    .map(({ network, prefix }) => {
      const first = readUint32(addressBytes(network), 0);
      return { first, last: (first | hostBits(prefix)) >>> 0 };
    })
    .sort((a, b) => a.first - b.first);
  const joined: { first: number; last: number }[] = [];
  for (const range of ranges) {
    const before = joined.at(-1);
    // Neighbours become one range; a network inside another is gone.
    if (before && range.first <= before.last + 1) before.last = Math.max(before.last, range.last);
    else joined.push({ ...range });
  }
  return Uint32Array.from(joined.flatMap(({ first, last }) => [first, last]));
}

function ranges6(cidrs: readonly Cidr[]): Uint32Array {
  const ranges = cidrs
    .map(({ network, prefix }) => {
      const bytes = addressBytes(network);
      const first = [0, 4, 8, 12].map((at) => readUint32(bytes, at));
      return { prefix, first, last: first.map((word, i) => (word | hostBits(prefix - 32 * i)) >>> 0) };
    })
    .sort((a, b) => compareWords(a.first, b.first) || a.prefix - b.prefix);
  const kept: (typeof ranges)[number][] = [];
  for (const range of ranges) {
    const before = kept.at(-1);
    // Networks are disjoint or one lies in the other, which then came first.
    if (!before || compareWords(range.first, before.last) > 0) kept.push(range);
  }
  return Uint32Array.from(kept.flatMap(({ first, last }) => [...first, ...last]));
}

/** Of a word of which the first `prefix` bits are the network's. */
const hostBits = (prefix: number): number => (prefix >= 32 ? 0 : prefix <= 0 ? MAX : MAX >>> prefix);

function compareWords(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < 4; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
