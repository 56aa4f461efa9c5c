import { writeSync } from 'node:fs';
import { EFD_CLOEXEC, EFD_NONBLOCK, POLLIN } from '../native/constants.js';
import type { Libc } from './libc.js';

/** How long an exit of the process without `close` is held up at most by the thread that waits. */
const POLL_MS = 1000;
const ENTRY = 8;

/** Waits for several descriptors on one thread of its own: each further one would take one from everything else of the process. */
export class Poller {
  readonly #libc: Libc;
  readonly #watched = new Map<number, () => void>();
  /** To be closed once nothing waits for them any more. */
  readonly #ended = new Set<number>();
  #wake = -1;
  #waiting = false;

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** Calls `onReady` whenever `fd` has something to read, or an error. */
  add(fd: number, onReady: () => void): void {
    this.#watched.set(fd, onReady);
    this.#run();
  }

  /** No further call; closes `fd`, which must not be used any more. */
  remove(fd: number): void {
    if (!this.#watched.delete(fd)) return;
    this.#ended.add(fd);
    this.#run();
  }

  #run(): void {
    if (!this.#waiting) {
      this.#wait();
      return;
    }
    // Just woken: what is to be waited for is looked at again anyway.
    if (this.#wake < 0) return;
    const one = Buffer.alloc(8);
    one.writeBigUInt64LE(1n);
    writeSync(this.#wake, one);
  }

  #wait(): void {
    for (const fd of this.#ended) this.#libc.close(fd);
    this.#ended.clear();
    if (this.#watched.size === 0) {
      if (this.#wake >= 0) this.#libc.close(this.#wake);
      this.#wake = -1;
      this.#waiting = false;
      return;
    }
    if (this.#wake < 0) this.#wake = this.#libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    const fds = [this.#wake, ...this.#watched.keys()];
    const entries = Buffer.alloc(fds.length * ENTRY);
    fds.forEach((fd, i) => {
      entries.writeInt32LE(fd, i * ENTRY);
      entries.writeUInt16LE(POLLIN, i * ENTRY + 4);
    });
    this.#waiting = true;
    this.#libc.poll(entries, fds.length, POLL_MS, (ready) => {
      const ours = entries.readUInt16LE(6) !== 0;
      if (ours) this.#awake();
      // Errors are reported without being asked for.
      if (ready > 0)
        fds.forEach((fd, i) => {
          if (i > 0 && entries.readUInt16LE(i * ENTRY + 6) !== 0) this.#watched.get(fd)?.();
        });
      this.#wait();
    });
  }

  /** A new descriptor to wake up by: the old one has been used. */
  #awake(): void {
    this.#libc.close(this.#wake);
    this.#wake = -1;
  }
}

const pollers = new WeakMap<Libc, Poller>();

/** The one of this process. */
export function sharedPoller(libc: Libc): Poller {
  let poller = pollers.get(libc);
  if (!poller) {
    poller = new Poller(libc);
    pollers.set(libc, poller);
  }
  return poller;
}
