import { errnoName } from '../errno.js';
import {
  AF_INET,
  AF_INET6,
  IP_PKTINFO,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_RECVPKTINFO,
  IPV6_V6ONLY,
  SO_BINDTODEVICE,
  SO_KEEPALIVE,
  SO_OOBINLINE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from './constants.js';
import type { RelayLibc } from './relay-libc.js';
import { packSocketAddress } from './socket-address.js';

export interface ListenOptions {
  readonly transport: 'tcp' | 'udp';
  /** `0.0.0.0` and `::` are every address of a family, and of that alone. */
  readonly address: string;
  readonly port: number;
  readonly interface?: string;
  /** First sees whether another program has the port: one of the same user that shares its port would be joined without a word. */
  readonly probe: boolean;
}

/** Connections that wait to be accepted; the kernel cuts it to net.core.somaxconn. */
const BACKLOG = 4096;

type Option = readonly [level: number, option: number, value: number];

/** What accepted sockets inherit, which spares each of them the calls. Keepalive: 60 s of silence, then 5 questions 15 s apart. */
const FOR_CLIENTS: readonly Option[] = [
  [IPPROTO_TCP, TCP_NODELAY, 1],
  [SOL_SOCKET, SO_KEEPALIVE, 1],
  [IPPROTO_TCP, TCP_KEEPIDLE, 60],
  [IPPROTO_TCP, TCP_KEEPINTVL, 15],
  [IPPROTO_TCP, TCP_KEEPCNT, 5],
  [SOL_SOCKET, SO_OOBINLINE, 1],
];

/** Bound and, for TCP, listening; without blocking, and beside others with SO_REUSEPORT. Or the name of the error. */
export function openListening(libc: RelayLibc, options: ListenOptions): { readonly fd: number } | { readonly error: string } {
  if (options.probe) {
    const probed = openSocket(libc, options, []);
    if ('error' in probed) return probed;
    libc.close(probed.fd);
  }
  const wide = options.address.includes(':');
  const mine: readonly Option[] =
    options.transport === 'tcp' ? FOR_CLIENTS : [wide ? [IPPROTO_IPV6, IPV6_RECVPKTINFO, 1] : [IPPROTO_IP, IP_PKTINFO, 1]];
  const opened = openSocket(libc, options, [[SOL_SOCKET, SO_REUSEPORT, 1], ...mine]);
  if ('error' in opened || options.transport === 'udp' || libc.listen(opened.fd, BACKLOG) === 0) return opened;
  return failed(libc, opened.fd);
}

/** Connections that wait to be accepted. */
export function acceptAll(libc: RelayLibc, listener: number): readonly number[] {
  const accepted: number[] = [];
  for (;;) {
    const fd = libc.accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return accepted;
    accepted.push(fd);
  }
}

export function closeAll(libc: RelayLibc, sockets: readonly { readonly fd: number }[]): void {
  for (const { fd } of sockets) libc.close(fd);
}

function openSocket(libc: RelayLibc, options: ListenOptions, more: readonly Option[]) {
  const { transport, address, port } = options;
  const wide = address.includes(':');
  const type = transport === 'tcp' ? SOCK_STREAM : SOCK_DGRAM;
  const fd = libc.socket(wide ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return { error: errnoName(libc.errno()) };
  const all: readonly Option[] = [
    // At TCP it disregards what is left of earlier connections; at UDP it would let anybody share the port.
    ...(transport === 'tcp' ? [[SOL_SOCKET, SO_REUSEADDR, 1] as const] : []),
    ...(wide ? [[IPPROTO_IPV6, IPV6_V6ONLY, 1] as const] : []),
    ...more,
  ];
  for (const [level, option, value] of all) {
    if (libc.setsockopt(fd, level, option, Uint8Array.of(value, 0, 0, 0), 4) < 0) return failed(libc, fd);
  }
  if (options.interface !== undefined) {
    const name = Buffer.from(`${options.interface}\0`);
    if (libc.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length) < 0) return failed(libc, fd);
  }
  const packed = packSocketAddress({ text: address }, port);
  if (libc.bind(fd, packed, packed.length) < 0) return failed(libc, fd);
  return { fd };
}

function failed(libc: RelayLibc, fd: number): { readonly error: string } {
  const error = errnoName(libc.errno());
  libc.close(fd);
  return { error };
}
