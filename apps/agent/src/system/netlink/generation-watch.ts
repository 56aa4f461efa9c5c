import { writeSync } from 'node:fs';
import { callFailed, type Libc } from './libc.js';
import { type Generation, generations, NETLINK_NETFILTER, NFNLGRP_NFTABLES, splitMessages } from './messages.js';

const AF_NETLINK = 16;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const EFD_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000;
const MSG_DONTWAIT = 0x40;
const EINTR = 4;
const EAGAIN = 11;
const POLLIN = 1;
/** Holds a few thousand rules' worth of announcements; what does not fit is announced as lost (ENOBUFS). */
const BUFFER_BYTES = 4 << 20;
/** How long an exit of the process without `close` is held up at most by the thread that waits. */
const POLL_MS = 1000;

/**
 * Listens to the kernel's announcements of committed changes of nftables in this network namespace. `onGenerations` is called with
 * none when some were lost, or when listening ended by an error: whoever cares then reads everything back. Throws where the kernel
 * refuses.
 */
export function watchGenerations(libc: Libc, onGenerations: (seen: readonly Generation[]) => void): { close(): void } {
  const watch = new GenerationWatch({ libc, fd: subscribe(libc), onGenerations });
  watch.wait();
  return watch;
}

class GenerationWatch {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #wake: number;
  readonly #onGenerations: (seen: readonly Generation[]) => void;
  readonly #fds = Buffer.alloc(16);
  readonly #buffer = Buffer.alloc(1 << 18);
  #closing = false;

  constructor(options: {
    readonly libc: Libc;
    readonly fd: number;
    readonly onGenerations: (seen: readonly Generation[]) => void;
  }) {
    this.#libc = options.libc;
    this.#fd = options.fd;
    this.#onGenerations = options.onGenerations;
    this.#wake = options.libc.eventfd(0, EFD_NONBLOCK_CLOEXEC);
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    const one = Buffer.alloc(8);
    one.writeBigUInt64LE(1n);
    writeSync(this.#wake, one);
  }

  wait(): void {
    const fds = this.#fds;
    fds.writeInt32LE(this.#fd, 0);
    fds.writeUInt32LE(POLLIN, 4);
    fds.writeInt32LE(this.#wake, 8);
    fds.writeUInt32LE(POLLIN, 12);
    this.#libc.poll(fds, 2, POLL_MS, (ready) => {
      if (this.#closing) return this.#end();
      // Lost announcements wake poll as an error of the socket; recv then says so.
      const found = ready > 0 ? this.#drain() : { seen: [], lost: false, failed: false };
      if (found.seen.length > 0) this.#onGenerations(found.seen);
      if (found.lost) this.#onGenerations([]);
      if (found.failed) this.#end();
      else this.wait();
    });
  }

  /** Reads all that waits. Any error but "nothing more" means that something was missed. */
  #drain(): { seen: Generation[]; lost: boolean; failed: boolean } {
    const seen: Generation[] = [];
    for (let errors = 0; errors < 8; ) {
      const length = this.#libc.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT);
      if (length >= 0) seen.push(...generations(splitMessages(this.#buffer.subarray(0, length))));
      else if (this.#libc.errno() === EAGAIN) return { seen, lost: errors > 0, failed: false };
      else if (this.#libc.errno() !== EINTR) errors++;
    }
    return { seen, lost: true, failed: true };
  }

  #end(): void {
    this.#libc.close(this.#fd);
    this.#libc.close(this.#wake);
  }
}

function subscribe(libc: Libc): number {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW_NONBLOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) throw callFailed(libc, 'socket');
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK, 0);
  const set = (level: number, option: number, value: number) => {
    const data = Buffer.alloc(4);
    data.writeInt32LE(value);
    return libc.setsockopt(fd, level, option, data, data.length);
  };
  const failed =
    (libc.bind(fd, address, address.length) < 0 && 'bind') ||
    // Without the privilege to force it, the kernel's own limit holds.
    (set(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES) < 0 && set(SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES) < 0 && 'setsockopt') ||
    (set(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES) < 0 && 'setsockopt');
  if (!failed) return fd;
  const error = callFailed(libc, failed);
  libc.close(fd);
  throw error;
}
