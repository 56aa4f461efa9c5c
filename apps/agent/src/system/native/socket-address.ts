import type { IpAddress } from '@gwctl/shared/domain/ip';
import { addressBytes, addressText } from '@gwctl/shared/domain/ip-bytes';
import { AF_INET, AF_INET6 } from './constants.js';

/** Room for a struct sockaddr of either family. */
export const SOCKET_ADDRESS_MAX = 28;

/** A struct sockaddr_in or sockaddr_in6, as long as the kernel wants it. */
export function packSocketAddress(address: Pick<IpAddress, 'text'>, port: number): Uint8Array {
  const ip = addressBytes(address.text);
  const wide = ip.length === 16;
  const bytes = new Uint8Array(wide ? 28 : 16);
  // The family is in the byte order of the machine, and every machine that Node.js has koffi for is little-endian.
  bytes[0] = wide ? AF_INET6 : AF_INET;
  bytes[2] = port >> 8;
  bytes[3] = port & 255;
  bytes.set(ip, wide ? 8 : 4);
  return bytes;
}

/** Offset and length of the IP address in what the kernel wrote. */
export const ipOffset = (bytes: Uint8Array): number => (bytes[0] === AF_INET ? 4 : 8);
export const ipLength = (bytes: Uint8Array): number => (bytes[0] === AF_INET ? 4 : 16);

export const portOf = (bytes: Uint8Array): number => ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);

/** Canonical; IPv4 mapped into IPv6 as the IPv4 address. */
export const addressTextOf = (bytes: Uint8Array): string => addressText(bytes, ipOffset(bytes), ipLength(bytes));
