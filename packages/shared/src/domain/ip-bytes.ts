/**
 * Addresses as the kernel hands them over: 4 or 16 bytes in network order, wherever they lie in a buffer. Read and written digit by
 * digit, without pieces of text: the relay does it for connections, the drivers for tens of thousands of rules. And ipaddr.js, which
 * checks what users write (parseIp), reads `::192.0.2.1` as if it were `::ffff:192.0.2.1`: that client would pass for the IPv4 one.
 */

const DOT = 46;
const COLON = 58;

/** Whether 16 bytes are an IPv4 address mapped into IPv6 (RFC 4291 section 2.5.5.2), as a socket for both families shows its IPv4 clients. */
export function isMapped(bytes: Uint8Array, at = 0): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;
}

/**
 * Reads what was checked, or what the kernel or Node.js wrote: a zone is left out, and IPv4 mapped into IPv6 comes out as the 4 bytes of
 * the IPv4 address. Throws a RangeError at what is no address: users' texts go through parseIp, so that is a mistake of the program.
 */
export function addressBytes(text: string): Uint8Array {
  const bytes = text.includes(':') ? readIpv6(text) : readIpv4(text, 0, text.length);
  if (bytes === undefined) throw new RangeError(`${JSON.stringify(text)} is not an IP address`);
  return bytes.length === 16 && isMapped(bytes) ? bytes.subarray(12) : bytes;
}

/** Canonical text (RFC 5952) of 4 or 16 bytes; IPv4 mapped into IPv6 is written as the IPv4 address. */
export function addressText(bytes: Uint8Array, at = 0, length = bytes.length - at): string {
  if (length === 4) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
  return isMapped(bytes, at) ? addressText(bytes, at + 12, 4) : ipv6Text(bytes, at);
}

/** Canonical text of 16 bytes, which stay an IPv6 address whatever is in them: parseIp refuses it where that is a mapped one. */
export function ipv6Text(bytes: Uint8Array, at = 0): string {
  const zeros = longestZeros(bytes, at);
  let text = '';
  for (let i = 0; i < 16; ) {
    if (i === zeros.from) {
      text += '::';
      i = zeros.to;
    } else {
      text += `${i === 0 || i === zeros.to ? '' : ':'}${group(bytes, at + i).toString(16)}`;
      i += 2;
    }
  }
  return text;
}

function readIpv4(text: string, from: number, to: number): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let part = 0;
  let digits = 0;
  let value = 0;
  for (let i = from; i <= to; i++) {
    const c = i === to ? DOT : text.charCodeAt(i);
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
  const zone = text.indexOf('%');
  const end = zone < 0 ? text.length : zone;
  const bytes = new Uint8Array(16);
  let written = 0;
  /** Where the zeros of `::` belong. */
  let gap = text.startsWith('::') ? 0 : -1;
  for (let i = gap === 0 ? 2 : 0; i < end; ) {
    const next = endOfDigits(text, i, end);
    if (text.charCodeAt(next) === DOT) {
      const last = written <= 12 ? readIpv4(text, i, end) : undefined;
      if (last === undefined) return undefined;
      bytes.set(last, written);
      written += 4;
      break;
    }
    if (next === i || next > i + 4 || written === 16) return undefined;
    const value = hexValue(text, i, next);
    bytes[written++] = value >> 8;
    bytes[written++] = value & 255;
    if (next === end) break;
    i = next + 1;
    if (text.charCodeAt(next) !== COLON || i === end) return undefined;
    if (text.charCodeAt(i) !== COLON) continue;
    if (gap >= 0) return undefined;
    gap = written;
    i++;
  }
  if (gap < 0) return written === 16 ? bytes : undefined;
  if (written > 14) return undefined;
  const after = 16 - (written - gap);
  return bytes.copyWithin(after, gap, written).fill(0, gap, after);
}

function endOfDigits(text: string, from: number, to: number): number {
  let i = from;
  while (i < to && hexDigit(text.charCodeAt(i)) >= 0) i++;
  return i;
}

function hexValue(text: string, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) value = (value << 4) | hexDigit(text.charCodeAt(i));
  return value;
}

/** Below 0: it is none. */
function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const letter = code | 0x20;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

const group = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** The first of the longest runs of two or more groups of zeros, in bytes; without one, `from` is beyond all. */
function longestZeros(bytes: Uint8Array, at: number): { readonly from: number; readonly to: number } {
  let [from, to] = [16, 18];
  for (let i = 0; i < 16; i += 2) {
    const start = i;
    while (i < 16 && group(bytes, at + i) === 0) i += 2;
    if (i - start > to - from) [from, to] = [start, i];
  }
  return { from, to };
}
