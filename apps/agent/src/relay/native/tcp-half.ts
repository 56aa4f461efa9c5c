import {
  EAGAIN,
  IPPROTO_TCP,
  MSG_NOSIGNAL,
  SHUT_WR,
  SPLICE_F_MOVE,
  SPLICE_F_NONBLOCK,
  TCP_NODELAY,
} from '../../system/native/constants.js';
import type { RelayLibc } from '../../system/native/relay-libc.js';
import type { Pipe, PipePool } from './pipe-pool.js';
import type { Rest } from './rests.js';

/** Bytes that are read at first, into a buffer that all flows of a worker share. */
const SMALL = 64 * 1024;
/** A read of as much shows bulk: from then on the data goes through a pipe and is not copied. */
const BULK = 32 * 1024;
/** Bytes for one direction in one turn: about a quarter of a millisecond, for which others wait. */
const TURN = 1024 * 1024;

/** What a turn of one direction came to. */
export type Pumped = 'waits' | 'more' | 'failed';

/** One direction of a connection. While nothing moves it holds neither a pipe nor a buffer. */
export class Half {
  from = -1;
  to = -1;
  /** The kernel has said so, and no call has shown otherwise since. Edge-triggered: it says so once. */
  readable = false;
  writable = false;
  /** The end, or urgent data, was reported: a read that gives less than was asked for is not the last then. */
  ending = false;
  /** The end of the stream was read; and it was passed on. */
  ended = false;
  closed = false;
  bulk = false;
  pipe: Pipe | undefined = undefined;
  /** Bytes in the pipe. */
  piped = 0;
  /** What the other side did not take of a buffer. */
  left: Uint8Array | undefined = undefined;
  /** Passed on so far. */
  bytes = 0;
  sends = 0;
  /** The socket it writes to was opened by the relay, and still has what RFC 896 asks for. */
  nagle = false;
  /** Where, and in which millisecond, what counts as one run of bulk began (`bulk-rests.ts`). */
  streakFrom = 0;
  streakAt = 0;
  /** The kernel reports data only when there is much of it. */
  patient = false;
  /** It takes a turn because its rest was over. */
  looked = false;
  rest: Rest | undefined = undefined;

  reset(from: number, to: number, nagle: boolean): void {
    this.from = from;
    this.to = to;
    this.nagle = nagle;
    this.readable = this.writable = this.ending = this.ended = this.closed = this.bulk = false;
    this.patient = this.looked = false;
    this.piped = this.bytes = this.sends = this.streakFrom = this.streakAt = 0;
  }
}

/** Moves the data of one worker's flows. */
export class Pump {
  readonly #libc: RelayLibc;
  readonly #pool: PipePool;
  readonly #buffer = new Uint8Array(SMALL);
  readonly #one = Uint8Array.of(1, 0, 0, 0);

  constructor(libc: RelayLibc, pool: PipePool) {
    this.#libc = libc;
    this.#pool = pool;
  }

  /** As much as can be moved now, up to {@link TURN}. Where it failed, errno says nothing any more: one of the two was reset. */
  run(half: Half, otherEnded: boolean): Pumped {
    const result = half.readable || half.left || half.piped > 0 ? this.#move(half) : 'waits';
    if (half.ended && !half.closed && result !== 'failed' && half.piped === 0 && !half.left) this.#end(half, otherEnded);
    return result;
  }

  /** Lets go of what a flow holds that ends now. */
  drop(half: Half): void {
    if (half.pipe) this.#pool.give(half.pipe, half.piped === 0);
    half.pipe = undefined;
    half.piped = 0;
    half.left = undefined;
  }

  /** Sends what is small enough to be kept, ahead of everything else. Only while nothing waits to be sent. */
  begin(half: Half, data: Uint8Array): Pumped {
    return this.#sendAll(half, data, data.length) ? 'waits' : 'failed';
  }

  #move(half: Half): Pumped {
    const before = half.bytes;
    for (;;) {
      if (half.left && !this.#sendLeft(half)) return 'failed';
      if (half.left) return 'waits';
      if (half.piped > 0 && half.writable && !this.#unpipe(half)) return 'failed';
      if (half.piped > 0) return 'waits';
      if (!half.readable || half.ended) break;
      // What the other side has no room for stays with the sender, and no buffer is filled for it.
      if (!half.writable) return 'waits';
      if (half.bytes - before >= TURN) return 'more';
      if (!(half.bulk ? this.#pipe(half) : this.#copy(half))) return 'failed';
    }
    this.#calm(half, half.bytes - before);
    return 'waits';
  }

  /** Everything is through. */
  #calm(half: Half, moved: number): void {
    if (half.pipe) {
      this.#pool.give(half.pipe, true);
      half.pipe = undefined;
    }
    if (half.bulk && moved < BULK) half.bulk = false;
  }

  #copy(half: Half): boolean {
    const n = this.#libc.recv(half.from, this.#buffer, SMALL, 0);
    if (n <= 0) return this.#nothing(half, n);
    // Less than there was room for: that was all. More of it will be reported, but an end that was reported already will not.
    if (n < SMALL && !half.ending) half.readable = false;
    if (n >= BULK) half.bulk = true;
    return this.#sendAll(half, this.#buffer, n);
  }

  #sendAll(half: Half, data: Uint8Array, length: number): boolean {
    const sent = this.#send(half, data, length);
    if (sent < 0) return false;
    if (sent < length) half.left = data.slice(sent, length);
    return true;
  }

  #sendLeft(half: Half): boolean {
    const left = half.left;
    if (!left || !half.writable) return true;
    const sent = this.#send(half, left, left.length);
    if (sent < 0) return false;
    half.left = sent < left.length ? left.slice(sent) : undefined;
    return true;
  }

  /** How much was taken; -1: failed. */
  #send(half: Half, data: Uint8Array, length: number): number {
    if (half.nagle && half.sends++ > 0) this.#undelay(half);
    const n = this.#libc.send(half.to, data, length, MSG_NOSIGNAL);
    if (n === length) {
      half.bytes += n;
      return n;
    }
    if (n < 0 && this.#libc.errno() !== EAGAIN) return -1;
    half.writable = false;
    const sent = Math.max(0, n);
    half.bytes += sent;
    return sent;
  }

  /** Fills the pipe, which is empty. */
  #pipe(half: Half): boolean {
    half.pipe ??= this.#pool.take();
    if (!half.pipe) {
      half.bulk = false;
      return true;
    }
    const n = this.#libc.splice(half.from, 0, half.pipe.write, 0, half.pipe.size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n <= 0) return this.#nothing(half, n);
    half.piped = n;
    return true;
  }

  #unpipe(half: Half): boolean {
    if (!half.pipe) return false;
    if (half.nagle && half.sends++ > 0) this.#undelay(half);
    while (half.piped > 0) {
      const n = this.#libc.splice(half.pipe.read, 0, half.to, 0, half.piped, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (n > 0) {
        half.piped -= n;
        half.bytes += n;
      } else if (n < 0 && this.#libc.errno() === EAGAIN) {
        half.writable = false;
        return true;
      } else return false;
    }
    return true;
  }

  /** The end of the stream, or nothing there yet. */
  #nothing(half: Half, n: number): boolean {
    half.readable = false;
    if (n === 0) {
      half.ended = true;
      return true;
    }
    return this.#libc.errno() === EAGAIN;
  }

  /** Passed on, unless both ends were read: then closing says it for both. */
  #end(half: Half, otherEnded: boolean): void {
    half.closed = true;
    if (!otherEnded) this.#libc.shutdown(half.to, SHUT_WR);
  }

  /**
   * What is written first is not held back (RFC 896 waits for what is on its way only), so a connection that writes once is spared the
   * call. Sockets of clients have the option from their listener.
   */
  #undelay(half: Half): void {
    half.nagle = false;
    this.#libc.setsockopt(half.to, IPPROTO_TCP, TCP_NODELAY, this.#one, 4);
  }
}
