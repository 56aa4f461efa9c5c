import {
  AF_INET,
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SO_LINGER,
  SOL_SOCKET,
  TCP_INFO,
  TCP_INFO_BYTES,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCPI_RTT,
} from '../../system/native/constants.js';
import type { RelayLibc } from '../../system/native/relay-libc.js';
import { SOCKET_ADDRESS_MAX } from '../../system/native/socket-address.js';
import { BulkRests } from './bulk-rests.js';
import type { EpollLoop } from './epoll-loop.js';
import type { PipePool } from './pipe-pool.js';
import type { SideHost } from './side.js';
import { Pump } from './tcp-half.js';

/** Seconds without data until the kernel asks whether the other side is still there, between its questions, and how many it asks. */
const KEEPALIVE = [
  [TCP_KEEPIDLE, 60],
  [TCP_KEEPINTVL, 15],
  [TCP_KEEPCNT, 5],
] as const;

/** What all flows of a worker share: the calls, and the buffers that go with them. */
export class Gear {
  readonly libc: RelayLibc;
  readonly loop: EpollLoop;
  readonly host: SideHost;
  readonly pool: PipePool;
  /** How many descriptors the relay may have. */
  readonly descriptors: { readonly most: number };
  readonly pump: Pump;
  readonly rests: BulkRests;
  /** Of the last accept4 or name that was asked for. */
  readonly address = new Uint8Array(SOCKET_ADDRESS_MAX);
  readonly #length = new Int32Array(1);
  readonly lengthBytes = new Uint8Array(this.#length.buffer);
  readonly #code = new Int32Array(1);
  readonly #codeBytes = new Uint8Array(this.#code.buffer);

  readonly #info = new Uint32Array(TCP_INFO_BYTES / 4);
  readonly #infoBytes = new Uint8Array(this.#info.buffer);

  constructor(options: Pick<Gear, 'libc' | 'loop' | 'host' | 'pool' | 'descriptors'>) {
    this.libc = options.libc;
    this.loop = options.loop;
    this.host = options.host;
    this.pool = options.pool;
    this.descriptors = options.descriptors;
    this.pump = new Pump(options.libc, options.pool);
    this.rests = new BulkRests(this);
  }

  /** Below 0: errno tells. The client's address is in {@link address} then. */
  accept(listener: number, flags: number): number {
    this.#length[0] = SOCKET_ADDRESS_MAX;
    return this.libc.accept4(listener, this.address, this.lengthBytes, flags);
  }

  /** A struct sockaddr of its own; undefined where the socket has none any more. */
  name(fd: number, whose: 'getsockname' | 'getpeername'): Uint8Array | undefined {
    this.#length[0] = SOCKET_ADDRESS_MAX;
    if (this.libc[whose](fd, this.address, this.lengthBytes) < 0) return undefined;
    return this.address.slice(0, this.address[0] === AF_INET ? 16 : 28);
  }

  /** The error that the kernel keeps for the socket, which is none after this; 0: there was none. */
  error(fd: number, level: number, option: number): number {
    this.#length[0] = 4;
    const failed = this.libc.getsockopt(fd, level, option, this.#codeBytes, this.lengthBytes) < 0;
    return failed ? this.libc.errno() : (this.#code[0] ?? 0);
  }

  /** Microseconds that the kernel measured; undefined where it could not. */
  roundTrip(fd: number): number | undefined {
    this.#length[0] = TCP_INFO_BYTES;
    if (this.libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, this.#infoBytes, this.lengthBytes) < 0) return undefined;
    return this.#info[TCPI_RTT / 4];
  }

  setOption(fd: number, level: number, option: number, value: number): boolean {
    this.#code[0] = value;
    return this.libc.setsockopt(fd, level, option, this.#codeBytes, 4) === 0;
  }

  /** So that a peer that is gone without a word is noticed. */
  keepAlive(fd: number): void {
    this.setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    for (const [option, value] of KEEPALIVE) this.setOption(fd, IPPROTO_TCP, option, value);
  }

  /** Closes with a RST in place of a FIN. */
  abort(fd: number): void {
    this.libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, LINGER_NOT, 8);
    this.libc.close(fd);
  }
}

/** struct linger: on, for no time. */
const LINGER_NOT = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
