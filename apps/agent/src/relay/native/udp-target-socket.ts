import type { IpAddress } from '@gwctl/shared/domain/ip';
import { errnoName } from '../../system/errno.js';
import {
  AF_INET,
  AF_INET6,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  IPPROTO_UDP,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from '../../system/native/constants.js';
import { UDP_GRO } from '../../system/native/message-layout.js';
import type { RelayLibc } from '../../system/native/relay-libc.js';
import { packSocketAddress } from '../../system/native/socket-address.js';

export interface TargetPlace {
  readonly address: IpAddress;
  readonly port: number;
  /** The address to send from; it counts for targets of its family. */
  readonly source: IpAddress | undefined;
}

/** A UDP socket that is connected to a target, or errno's name for why there is none. */
export function openToTarget(libc: RelayLibc, { address, port, source }: TargetPlace): number | string {
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = libc.socket(address.family === 4 ? AF_INET : AF_INET6, type, 0);
  if (fd < 0) return errnoName(libc.errno());
  const failed = (): string => {
    const code = errnoName(libc.errno());
    libc.close(fd);
    return code;
  };
  if (source?.family === address.family) {
    libc.setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, ON, 4);
    const from = packSocketAddress(source, 0);
    if (libc.bind(fd, from, from.length) < 0) return failed();
  }
  const to = packSocketAddress(address, port);
  if (libc.connect(fd, to, to.length) < 0) return failed();
  joinReceived(libc, fd);
  widen(libc, fd, WAITING);
  return fd;
}

/** Lets the kernel hand over datagrams of a flow that came together in one piece. Before kernel 5.0 each comes by itself. */
export function joinReceived(libc: RelayLibc, fd: number): void {
  libc.setsockopt(fd, IPPROTO_UDP, UDP_GRO, ON, 4);
}

/** Room for what waits in a socket; without the privilege the host's own limit (net.core.rmem_max) counts. */
export function widen(libc: RelayLibc, fd: number, bytes: number): void {
  const value = new Uint8Array(Int32Array.of(bytes).buffer);
  if (libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, value, 4) < 0) libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, value, 4);
}

export const ON = new Uint8Array(Int32Array.of(1).buffer);
/** Bytes of answers that may wait for one client; beyond that datagrams are lost. */
const WAITING = 1024 * 1024;
