import type { IpAddress } from '@gwctl/shared/domain/ip';
import { listenAddress } from './netlink/addresses.js';

/** A socket that waits for traffic, as /proc/net/{tcp,tcp6,udp,udp6} show it. */
export interface WaitingSocket {
  readonly protocol: 'tcp' | 'udp';
  /** Undefined: every address, of both families (an IPv6 wildcard socket takes IPv4 too, unless it asked not to). */
  readonly address?: IpAddress;
  readonly port: number;
  /** Tells whose it is: the processes that hold it have `socket:[inode]` among their open files. */
  readonly inode: number;
}

/** Reads the sockets of this network namespace that wait for traffic. */
export type SocketReader = (protocol: 'tcp' | 'udp') => Promise<readonly WaitingSocket[]>;

/** States of include/net/tcp_states.h: a TCP socket that listens, a UDP socket that is not connected. */
const LISTEN = '0A';
const UNCONNECTED = '07';

/** Whether a line of /proc/net/tcp is a connection. Those that listen come first, so there one may stop reading. */
export const isConnection = (line: string): boolean => {
  const state = fields(line)[3];
  return state !== undefined && /^[0-9A-F]{2}$/.test(state) && state !== LISTEN;
};

/** Reads one such file, or its beginning: lines that are no waiting sockets are left out. */
export function parseSockets(text: string, protocol: 'tcp' | 'udp'): WaitingSocket[] {
  const wanted = protocol === 'tcp' ? LISTEN : UNCONNECTED;
  return text.split('\n').flatMap((line): WaitingSocket[] => {
    const all = fields(line);
    const [address, port] = (all[1] ?? '').split(':');
    const inode = Number(all[9]);
    if (all[3] !== wanted || address === undefined || port === undefined || !Number.isSafeInteger(inode)) return [];
    const number = Number.parseInt(port, 16);
    if (!(number >= 1 && number <= 65535)) return [];
    const parsed = parseHexAddress(address);
    if (parsed === undefined) return [];
    return [{ protocol, ...(parsed === 'any' ? {} : { address: parsed }), port: number, inode }];
  });
}

const fields = (line: string) => line.trim().split(/\s+/);

/** The kernel prints each 32-bit word of an address as a number of the host, which is little-endian. */
function parseHexAddress(hex: string): IpAddress | 'any' | undefined {
  if (!/^(?:[0-9A-F]{8}|[0-9A-F]{32})$/.test(hex)) return undefined;
  const words = hex.match(/.{8}/g) ?? [];
  return listenAddress(
    Uint8Array.from(words.flatMap((word) => [6, 4, 2, 0].map((i) => Number.parseInt(word.slice(i, i + 2), 16)))),
  );
}
