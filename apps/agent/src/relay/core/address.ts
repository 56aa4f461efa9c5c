import { isMapped } from '@gwctl/shared/domain/ip-bytes';
import { hashBytes } from '@gwctl/shared/hash/even-hash';

/** `ADDRESS:PORT`, IPv6 in brackets. */
export const peerText = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** 32 bits for 4 or 16 bytes, spread evenly; IPv4 mapped into IPv6 has the hash of the IPv4 address. */
export const hashAddress = (bytes: Uint8Array, at = 0, length = bytes.length - at): number =>
  length === 16 && isMapped(bytes, at) ? hashBytes(bytes, at + 12, 4) : hashBytes(bytes, at, length);
