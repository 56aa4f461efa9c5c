import type { Family } from '@gwctl/shared/domain/ip';

/** Into how many equal shares all clients fall. */
export const CLIENT_SHARES = 32;

/** Where a packet's source address stands in its IP header, in bytes: one word of 32 bits, or four. */
const SOURCE_WORDS: Readonly<Record<Family, readonly number[]>> = { 4: [12], 6: [8, 12, 16, 20] };

/** Odd numbers whose products spread every bit upwards: the golden ratio's fraction, and one of MurmurHash3's. */
const SPREAD = 0x9e3779b1;
const FINISH = 0x85ebca6b;

/** Instructions of classic BPF (Linux, filter.rst). */
const OP = { load: 0x20, value: 0x00, keep: 0x07, times: 0x24, xor: 0xac, right: 0x74, rightByKept: 0x7c, and: 0x54, give: 0x16 };

/**
 * Matches the clients whose shares have their bits set in `shares`: a hash of the source address, computed by the kernel. Why not the
 * match `cluster`, which is made for it: of an IPv6 address it looks at the first 32 bits only (xt_cluster_hash_ipv6, Linux 6.18), so
 * that all customers of one provider would share a target; and iptables 1.8.9 refuses to read the masks that it prints itself.
 */
export function clientMatch(family: Family, shares: number): string {
  const hashed = SOURCE_WORDS[family].flatMap((offset, i): [number, number][] => [
    [OP.load, offset],
    ...(i === 0 ? [] : ([[OP.xor, 0]] as [number, number][])),
    [OP.times, SPREAD],
    [OP.keep, 0],
  ]);
  const program: readonly [number, number][] = [
    ...hashed,
    [OP.right, 15],
    [OP.xor, 0],
    [OP.times, FINISH],
    [OP.right, 27],
    [OP.keep, 0],
    [OP.value, shares >>> 0],
    [OP.rightByKept, 0],
    [OP.and, 1],
    [OP.give, 0],
  ];
  const text = program.map(([code, value]) => `${code} 0 0 ${value}`).join(',');
  return `-m bpf --bytecode "${program.length},${text}" `;
}
