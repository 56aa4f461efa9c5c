import { type Family, type IpAddress, parseIp } from '@gwctl/shared/domain/ip';
import { addressText, ipv6Text, isMapped } from '@gwctl/shared/domain/ip-bytes';
import { AF_INET, AF_INET6 } from '../native/constants.js';

/** Families as the kernel numbers them. */
export const FAMILY_NUMBERS = { 4: AF_INET, 6: AF_INET6 } as const;

export const familyOf = (number: number | undefined): Family | undefined =>
  number === AF_INET ? 4 : number === AF_INET6 ? 6 : undefined;

/** Canonical text of 4 or 16 bytes. What netlink has as IPv6 stays that, also where it is IPv4 mapped into IPv6. */
export const textOf = (bytes: Uint8Array): string => (bytes.length === 4 ? addressText(bytes) : ipv6Text(bytes));

/** Undefined for what is no address, or none that anybody may name. */
export function addressOf(bytes: Uint8Array | undefined): IpAddress | undefined {
  if (bytes?.length !== 4 && bytes?.length !== 16) return undefined;
  const parsed = parseIp(textOf(bytes));
  return parsed.ok ? parsed.value : undefined;
}

/** Of a socket that waits for traffic: `any` for the wildcards; what is mapped into IPv6 is meant as IPv4. */
export function listenAddress(bytes: Uint8Array): IpAddress | 'any' | undefined {
  const own = bytes.length === 16 && isMapped(bytes) ? bytes.subarray(12) : bytes;
  return own.every((b) => b === 0) ? 'any' : addressOf(own);
}
