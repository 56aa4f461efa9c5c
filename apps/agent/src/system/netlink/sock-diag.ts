import type { WaitingSocket } from '../sockets.js';
import { dump } from './dump.js';
import type { Libc } from './libc.js';
import { NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, type SocketEntry, sockets, socketsRequest } from './messages.js';

/** Bits of states of include/net/tcp_states.h: TCP_LISTEN, and TCP_CLOSE, in which an unconnected UDP socket is. */
const STATES = { tcp: 1 << 10, udp: 1 << 7 } as const;

/** The sockets of a protocol that wait for traffic. The kernel looks only at those, unlike for /proc/net/tcp. */
export function readWaiting(libc: Libc, protocol: 'tcp' | 'udp'): WaitingSocket[] {
  return ([4, 6] as const)
    .flatMap((family) => {
      const request = socketsRequest({ family, protocol, states: STATES[protocol] });
      return sockets(dump(libc, NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, request));
    })
    .filter((s) => s.port !== 0)
    .map(({ address, port, inode }) => ({ protocol, ...(address === 'any' ? {} : { address }), port, inode }));
}

/** TCP_SYN_RECV, by which a request means handshakes that are half done too (TCP_NEW_SYN_RECV, Linux 4.4). */
const HALF_DONE = 1 << 3;

/** Our side of TCP handshakes that others began with us and that are half done. The kernel goes through its table of connections. */
export const readHandshakes = (libc: Libc): SocketEntry[] =>
  ([4, 6] as const).flatMap((family) =>
    sockets(dump(libc, NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, socketsRequest({ family, protocol: 'tcp', states: HALF_DONE }))),
  );
