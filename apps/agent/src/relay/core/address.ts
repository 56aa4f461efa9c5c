/** Addresses as the kernel hands them over: 4 or 16 bytes in network order, wherever they lie in a buffer. */

const DOT = 46;

/** Whether 16 bytes are an IPv4 address mapped into IPv6 (RFC 4291 section 2.5.5.2), as a socket for both families shows its IPv4 clients. */
export function isMapped(bytes: Uint8Array, at = 0): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;
}

/**
 * Reads what the kernel or Node.js wrote: a zone is left out, and IPv4 mapped into IPv6 comes out as the 4 bytes of the IPv4 address.
 * Throws a RangeError at what is no address: nothing but the system writes these texts, so that is a mistake of the program.
 */
export function addressBytes(text: string): Uint8Array {
  const bytes = text.includes(':') ? readIpv6(text) : readIpv4(text);
  if (bytes === undefined) throw new RangeError(`${JSON.stringify(text)} is not an IP address`);
  return bytes.length === 16 && isMapped(bytes) ? bytes.subarray(12) : bytes;
}

/** Canonical text (RFC 5952) of 4 or 16 bytes; IPv4 mapped into IPv6 is written as the IPv4 address. */
export function addressText(bytes: Uint8Array, at = 0, length = bytes.length - at): string {
  if (length === 4) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
  if (isMapped(bytes, at)) return addressText(bytes, at + 12, 4);
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[at + 2 * i] ?? 0) << 8) | (bytes[at + 2 * i + 1] ?? 0));
  const { start, count } = longestZeros(groups);
  const hex = (part: readonly number[]) => part.map((g) => g.toString(16)).join(':');
  return count < 2 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + count))}`;
}

/** `ADDRESS:PORT`, IPv6 in brackets. */
export const peerText = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** 32 bits that are spread evenly, the same in every thread and process: FNV-1a with the finalizer of MurmurHash3. */
export function hashAddress(bytes: Uint8Array, at = 0, length = bytes.length - at): number {
  if (length === 16 && isMapped(bytes, at)) return hashAddress(bytes, at + 12, 4);
  let h = 0x811c9dc5;
  for (let i = 0; i < length; i++) h = Math.imul(h ^ (bytes[at + i] ?? 0), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function readIpv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let part = 0;
  let digits = 0;
  let value = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = i === text.length ? DOT : text.charCodeAt(i);
    if (c === DOT) {
      if (digits === 0 || value > 255 || part > 3) return undefined;
      bytes[part++] = value;
      digits = value = 0;
    } else if (c >= 48 && c <= 57) {
      value = value * 10 + c - 48;
      if (++digits > 3) return undefined;
    } else return undefined;
  }
  return part === 4 ? bytes : undefined;
}

function readIpv6(text: string): Uint8Array | undefined {
  const [address = ''] = text.split('%');
  const [head = '', tail, more] = address.split('::');
  if (more !== undefined) return undefined;
  const before = groupBytes(head);
  const after = tail === undefined ? [] : groupBytes(tail);
  if (before === undefined || after === undefined) return undefined;
  const missing = 16 - before.length - after.length;
  if (tail === undefined ? missing !== 0 : missing < 2) return undefined;
  return Uint8Array.from([...before, ...new Array<number>(missing).fill(0), ...after]);
}

function groupBytes(text: string): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [i, group] of groups.entries()) {
    if (i === groups.length - 1 && group.includes('.')) {
      const last = readIpv4(group);
      if (!last) return undefined;
      bytes.push(...last);
    } else {
      if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 255);
    }
  }
  return bytes;
}

function longestZeros(groups: readonly number[]): { readonly start: number; readonly count: number } {
  let best = { start: 0, count: 0 };
  for (let i = 0; i < groups.length; i++) {
    let end = i;
    while (groups[end] === 0) end++;
    if (end - i > best.count) best = { start: i, count: end - i };
    i = Math.max(i, end);
  }
  return best;
}
