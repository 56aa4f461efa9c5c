import type { IpAddress } from '@gwctl/shared/domain/ip';
import { errnoName } from './errno.js';
import { errno, libcCalls } from './libc.js';
import {
  AF_INET,
  AF_INET6,
  EINPROGRESS,
  IPPROTO_TCP,
  POLLOUT,
  SO_ERROR,
  SO_LINGER,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_INFO,
  TCP_INFO_BYTES,
  TCP_QUICKACK,
  TCPI_RTT,
} from './native/constants.js';
import { packSocketAddress } from './native/socket-address.js';

/** Sockets that begin a TCP handshake and break it off before the other side's program hears of it. */
export interface HandshakeSockets {
  /** Sends a SYN, from a socket that must be closed; or the name of the error, for instance `ENETUNREACH`. */
  open(address: IpAddress, port: number): { readonly fd: number } | { readonly error: string };
  /** Those of `fds` that were answered or failed. Does not wait. */
  settled(fds: readonly number[]): number[];
  /** What came of a settled one: the name of an error, or the round-trip time that the kernel measured, 0 where it could not. */
  outcome(fd: number): { readonly error: string } | { readonly rttUs: number };
  /** Ends it: before the handshake is over, with a RST in place of the last segment. */
  close(fd: number): void;
}

const STREAM = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

/** Throws LIBC_UNAVAILABLE where native calls do not work here. */
export function handshakeSockets(): HandshakeSockets {
  return new LibcSockets(loadCalls());
}

class LibcSockets implements HandshakeSockets {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  open(address: IpAddress, port: number) {
    const { socket, setsockopt, connect, errno } = this.#calls;
    const fd = socket(address.family === 4 ? AF_INET : AF_INET6, STREAM, 0);
    if (fd < 0) return { error: errnoName(errno()) };
    // Without quick acknowledgement the kernel keeps the last segment of the handshake back for 200 ms (tcp_rcv_synsent_state_process),
    // and closing with a linger time of zero makes a RST of it.
    const failed =
      setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, int(0), 4) < 0 ||
      setsockopt(fd, SOL_SOCKET, SO_LINGER, Buffer.concat([int(1), int(0)]), 8) < 0;
    const to = packSocketAddress(address, port);
    if (!failed && (connect(fd, to, to.length) === 0 || errno() === EINPROGRESS)) return { fd };
    const error = errnoName(errno());
    this.close(fd);
    return { error };
  }

  settled(fds: readonly number[]): number[] {
    const entries = Buffer.alloc(fds.length * 8);
    fds.forEach((fd, i) => {
      entries.writeInt32LE(fd, i * 8);
      entries.writeUInt16LE(POLLOUT, i * 8 + 4);
    });
    // Interrupted or out of memory: the same as nothing yet, and asked again in a moment.
    if (this.#calls.poll(entries, fds.length, 0) <= 0) return [];
    return fds.filter((_, i) => entries.readUInt16LE(i * 8 + 6) !== 0);
  }

  outcome(fd: number) {
    const code = Buffer.alloc(4);
    if (this.#calls.getsockopt(fd, SOL_SOCKET, SO_ERROR, code, int(4)) < 0) return { error: errnoName(this.#calls.errno()) };
    if (code.readInt32LE() !== 0) return { error: errnoName(code.readInt32LE()) };
    const info = Buffer.alloc(TCP_INFO_BYTES);
    const known = this.#calls.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, int(info.length)) === 0;
    return { rttUs: known ? info.readUInt32LE(TCPI_RTT) : 0 };
  }

  close(fd: number): void {
    this.#calls.close(fd);
  }
}

interface Calls {
  socket(family: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, option: number, value: Buffer, length: number): number;
  getsockopt(fd: number, level: number, option: number, into: Buffer, length: Buffer): number;
  connect(fd: number, address: Uint8Array, length: number): number;
  poll(fds: Buffer, count: number, timeoutMs: number): number;
  close(fd: number): number;
  errno(): number;
}

const loadCalls = libcCalls<Calls>((func) => ({
  socket: func('int socket(int, int, int)'),
  setsockopt: func('int setsockopt(int, int, int, void *, uint32_t)'),
  getsockopt: func('int getsockopt(int, int, int, void *, void *)'),
  connect: func('int connect(int, void *, uint32_t)'),
  poll: func('int poll(void *, unsigned long, int)'),
  close: func('int close(int)'),
  errno,
}));

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}
