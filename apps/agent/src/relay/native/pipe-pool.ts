import { F_GETPIPE_SZ, F_SETPIPE_SZ, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../../system/native/constants.js';
import type { RelayLibc } from '../../system/native/relay-libc.js';
import type { Descriptors } from './side.js';

/** What splice(2) moves through. */
export interface Pipe {
  readonly read: number;
  readonly write: number;
  /** Bytes that it holds at most, where each page is full. */
  readonly size: number;
}

/**
 * Bytes of a pipe for bulk, which is what the kernel allows everyone (fs.pipe-max-size). Each byte of a stream cost a quarter more CPU
 * with half of it, and half as much again with a quarter: fewer and larger moves wake sender and receiver less often.
 */
export const LARGE = 1024 * 1024;
/** What pipe(2) makes where the user is within fs.pipe-user-pages-soft. */
const USUAL = 64 * 1024;
/** Large ones for one worker: what readers that never read can pin is bounded by it. Further pipes stay as the kernel made them. */
const MOST_LARGE = 16;
/** Empty pipes of the usual size kept for the next flow, beside all large ones. */
const MOST_SPARE = 16;
/** Milliseconds until it is tried again, after the kernel gave no pipe, or a small one. */
const REST = 1000;

/** Pipes for one worker. A flow has one only while something is in it, so a few serve thousands. */
export class PipePool {
  readonly #libc: RelayLibc;
  readonly #descriptors: Descriptors;
  readonly #now: () => number;
  readonly #spareLarge: Pipe[] = [];
  readonly #spare: Pipe[] = [];
  readonly #ends = new Int32Array(2);
  readonly #endBytes = new Uint8Array(this.#ends.buffer);
  #large = 0;
  #count = 0;
  #restUntil = Number.NEGATIVE_INFINITY;
  #enlargeAgain = Number.NEGATIVE_INFINITY;

  /** `now`: milliseconds of a clock that only goes on. */
  constructor(libc: RelayLibc, descriptors: Descriptors, now: () => number) {
    this.#libc = libc;
    this.#descriptors = descriptors;
    this.#now = now;
  }

  /** In use and spare. */
  get count(): number {
    return this.#count;
  }

  /** An empty pipe; undefined where there is none to be had, and data is to be copied instead. */
  take(): Pipe | undefined {
    const spare = this.#spareLarge.pop() ?? (this.#mayEnlarge ? undefined : this.#spare.pop());
    return spare ?? this.#open() ?? this.#spare.pop();
  }

  /** `empty`: nothing is left in it. What a flow that ended left in its pipe must never reach another. */
  give(pipe: Pipe, empty: boolean): void {
    if (empty && pipe.size >= LARGE) this.#spareLarge.push(pipe);
    else if (empty && this.#spare.length < MOST_SPARE) this.#spare.push(pipe);
    else this.#close(pipe);
  }

  /** Closes the spare ones. */
  drain(): void {
    for (const pipe of [...this.#spareLarge.splice(0), ...this.#spare.splice(0)]) this.#close(pipe);
  }

  #open(): Pipe | undefined {
    if (this.#now() < this.#restUntil) return undefined;
    if (!this.#descriptors.take(2)) return this.#none();
    if (this.#libc.pipe2(this.#endBytes, SOCK_NONBLOCK | SOCK_CLOEXEC) < 0) {
      this.#descriptors.give(2);
      return this.#none();
    }
    const [read = -1, write = -1] = this.#ends;
    this.#count += 1;
    const pipe = { read, write, size: this.#size(write) };
    if (pipe.size >= LARGE) this.#large += 1;
    if (pipe.size >= USUAL) return pipe;
    // Beyond fs.pipe-user-pages-soft the kernel makes pipes of one or two pages, through which copying is faster.
    this.#close(pipe);
    return this.#none();
  }

  get #mayEnlarge(): boolean {
    return this.#large < MOST_LARGE && this.#now() >= this.#enlargeAgain;
  }

  #size(fd: number): number {
    if (this.#mayEnlarge) {
      const size = this.#libc.fcntl(fd, F_SETPIPE_SZ, LARGE);
      if (size > 0) return size;
      // Beyond fs.pipe-user-pages-soft, or above fs.pipe-max-size.
      this.#enlargeAgain = this.#now() + REST;
    }
    return this.#libc.fcntl(fd, F_GETPIPE_SZ, 0);
  }

  #none(): undefined {
    this.#restUntil = this.#now() + REST;
    return undefined;
  }

  #close(pipe: Pipe): void {
    this.#libc.close(pipe.read);
    this.#libc.close(pipe.write);
    this.#descriptors.give(2);
    this.#count -= 1;
    if (pipe.size >= LARGE) this.#large -= 1;
  }
}
