import { getSystemErrorName } from 'node:util';
import type { IpAddress } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import koffi from 'koffi';
import { addressBytes } from './netlink/addresses.js';

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

const AF_INET = 2;
const AF_INET6 = 10;
/** SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC. */
const STREAM = 1 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_LINGER = 13;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const TCP_QUICKACK = 12;
const EINPROGRESS = 115;
const POLLOUT = 4;
/** Of struct tcp_info (include/uapi/linux/tcp.h), which only ever grows at its end. */
const TCPI_RTT = 68;
const TCP_INFO_BYTES = 104;

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
    if (fd < 0) return { error: nameOf(errno()) };
    // Without quick acknowledgement the kernel keeps the last segment of the handshake back for 200 ms (tcp_rcv_synsent_state_process),
    // and closing with a linger time of zero makes a RST of it.
    const failed =
      setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, int(0), 4) < 0 ||
      setsockopt(fd, SOL_SOCKET, SO_LINGER, Buffer.concat([int(1), int(0)]), 8) < 0;
    const to = socketAddress(address, port);
    if (!failed && (connect(fd, to, to.length) === 0 || errno() === EINPROGRESS)) return { fd };
    const error = nameOf(errno());
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
    if (this.#calls.getsockopt(fd, SOL_SOCKET, SO_ERROR, code, int(4)) < 0) return { error: nameOf(this.#calls.errno()) };
    if (code.readInt32LE() !== 0) return { error: nameOf(code.readInt32LE()) };
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
  connect(fd: number, address: Buffer, length: number): number;
  poll(fds: Buffer, count: number, timeoutMs: number): number;
  close(fd: number): number;
  errno(): number;
}

function loadCalls(): Calls {
  try {
    const libc = koffi.load('libc.so.6');
    return {
      socket: libc.func('int socket(int, int, int)'),
      setsockopt: libc.func('int setsockopt(int, int, int, void *, uint32_t)'),
      getsockopt: libc.func('int getsockopt(int, int, int, void *, void *)'),
      connect: libc.func('int connect(int, void *, uint32_t)'),
      poll: libc.func('int poll(void *, unsigned long, int)'),
      close: libc.func('int close(int)'),
      errno: () => koffi.errno(),
    };
  } catch (cause) {
    throw new AppError({
      code: 'FAILED_PRECONDITION',
      reason: 'LIBC_UNAVAILABLE',
      message: `native calls do not work here: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }
}

function socketAddress({ family, text }: IpAddress, port: number): Buffer {
  const bytes = Buffer.alloc(family === 4 ? 16 : 28);
  bytes.writeUInt16LE(family === 4 ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  addressBytes(family, text).copy(bytes, family === 4 ? 4 : 8);
  return bytes;
}

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

const nameOf = (errno: number) => getSystemErrorName(-errno);
