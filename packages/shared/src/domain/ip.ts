import ipaddr from 'ipaddr.js';
import { addressBytes, ipv6Text } from './ip-bytes.js';
import { err, ok, quote, type Result } from './result.js';

export type Family = 4 | 6;

declare const checked: unique symbol;

/** An address that was parsed; `text` is canonical (RFC 5952 for IPv6, without a zone). */
export interface IpAddress {
  readonly family: Family;
  readonly text: string;
  readonly [checked]: 'IpAddress';
}

/** A network that was parsed, in canonical form: no host bits, prefix within the family's length. */
export interface Cidr {
  readonly family: Family;
  /** First address, canonical. */
  readonly network: string;
  readonly prefix: number;
  readonly [checked]: 'Cidr';
}

const DOTTED_QUAD = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$/;

/** Reads an IPv4 (dotted quad only) or IPv6 address. IPv4 mapped into IPv6 and zones are refused: they mean different things to different tools. */
export function parseIp(text: string): Result<IpAddress, string> {
  const known = recent.get(text);
  if (known) return known;
  const parsed = readIp(text);
  if (!parsed.ok) return parsed;
  if (recent.size >= MOST_RECENT) recent.clear();
  recent.set(text, parsed);
  return parsed;
}

/** The same few addresses stand in tens of thousands of forwards: each is read once and takes the room of one. */
const recent = new Map<string, Result<IpAddress, string>>();
const MOST_RECENT = 8192;

function readIp(text: string): Result<IpAddress, string> {
  const no = (why: string) => err(`${quote(text)} ${why}`);
  if (DOTTED_QUAD.test(text)) return ok(make(4, text));
  if (!text.includes(':') || !ipaddr.IPv6.isValid(text))
    return no('is not an IP address; write one like 192.168.1.10 or 2001:db8::10');
  if (text.includes('%')) return no('has a zone; leave out "%" and what follows, and name the interface instead');
  const v6 = ipaddr.IPv6.parse(text);
  if (v6.isIPv4MappedAddress()) return no('is an IPv4 address mapped into IPv6; write the IPv4 address');
  return ok(make(6, v6.toRFC5952String()));
}

/** Reads `ADDRESS/PREFIX`, or a bare address as a network of one. Host bits must be zero. */
export function parseCidr(text: string): Result<Cidr, string> {
  const slash = text.indexOf('/');
  const address = parseIp(slash < 0 ? text : text.slice(0, slash));
  const example = 'write one like 192.168.1.0/24 or 2001:db8::/32';
  if (!address.ok) return err(`${quote(text)} is not a CIDR; ${example}`);
  const bits = address.value.family === 4 ? 32 : 128;
  if (slash < 0) return ok(makeCidr(address.value.family, address.value.text, bits));
  const prefixText = text.slice(slash + 1);
  const prefix = Number(prefixText);
  if (!/^(0|[1-9]\d{0,2})$/.test(prefixText) || prefix > bits)
    return err(`${quote(text)} has no prefix length from 0 to ${bits}; ${example}`);
  const network = networkAddress(address.value, prefix);
  if (network !== address.value.text)
    return err(
      `${quote(text)} has host bits set; write ${network}/${prefix} for the network or ${address.value.text}/${bits} for the one address`,
    );
  return ok(makeCidr(address.value.family, network, prefix));
}

export function formatCidr(cidr: Cidr): string {
  return `${cidr.network}/${cidr.prefix}`;
}

/** Whether `cidr` covers `address`; false across families. */
export function contains(cidr: Cidr, address: IpAddress): boolean {
  if (cidr.family !== address.family) return false;
  if (cidr.family === 4) return masked4(address.text, cidr.prefix) === masked4(cidr.network, cidr.prefix);
  return networkAddress(address, cidr.prefix) === cidr.network;
}

/** Whether every address of `inner` is one of `outer`; false across families. */
export function covers(outer: Cidr, inner: Cidr): boolean {
  return outer.prefix <= inner.prefix && contains(outer, make(inner.family, inner.network));
}

/** Whether a list of allowed networks keeps somebody out whom it let in before. No list lets anyone in, an empty one nobody. */
export function isNarrower(after: readonly Cidr[] | undefined, before: readonly Cidr[] | undefined): boolean {
  if (!after) return false;
  if (!before) return true;
  return before.some((b) => !after.some((a) => covers(a, b)));
}

/** The network as CIDR that `address` lies in at `prefix`. */
export function networkOf(address: IpAddress, prefix: number): Cidr {
  return makeCidr(address.family, networkAddress(address, prefix), prefix);
}

/** Sorted, without duplicates and without networks that another one covers. */
export function mergeCidrs(cidrs: readonly Cidr[]): Cidr[] {
  const sorted = [...cidrs].sort(
    (a, b) => a.family - b.family || a.prefix - b.prefix || (a.network < b.network ? -1 : a.network > b.network ? 1 : 0),
  );
  const kept: Cidr[] = [];
  for (const cidr of sorted) {
    if (!kept.some((k) => covers(k, cidr))) kept.push(cidr);
  }
  return kept;
}

function networkAddress(address: IpAddress, prefix: number): string {
  if (address.family === 4) return networkAddress4(address.text, prefix);
  const masked = addressBytes(address.text).map((byte, i) => {
    const keep = Math.min(8, Math.max(0, prefix - i * 8));
    return byte & (0xff00 >> keep) & 0xff;
  });
  return ipv6Text(masked);
}

function networkAddress4(text: string, prefix: number): string {
  const masked = masked4(text, prefix);
  return `${masked >>> 24}.${(masked >>> 16) & 255}.${(masked >>> 8) & 255}.${masked & 255}`;
}

/** By arithmetic, digit by digit: the agent asks this a dozen times for each forward and pass. */
function masked4(text: string, prefix: number): number {
  let bits = 0;
  let part = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      bits = (bits << 8) | part;
      part = 0;
    } else part = part * 10 + code - ZERO;
  }
  bits = (bits << 8) | part;
  return prefix === 0 ? 0 : bits & (-1 << (32 - prefix));
}

const DOT = 46;
const ZERO = 48;

const make = (family: Family, text: string) => ({ family, text }) as IpAddress;
const makeCidr = (family: Family, network: string, prefix: number) => ({ family, network, prefix }) as Cidr;
