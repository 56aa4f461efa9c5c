import { callFailed, refused } from '../errno.js';
import { AF_NETLINK, SO_RCVTIMEO, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET } from '../native/constants.js';
import type { Libc } from './libc.js';
import { endOfDump, type Message, splitMessages } from './messages.js';

/** The kernel fills at most 32 KiB at once. */
const BUFFER_BYTES = 1 << 16;
/** How long a dump may keep everything else waiting, in milliseconds. */
const SLICE_MS = 8;

/** A conversation with the kernel over netlink. What it is asked it answers at once; a second without an answer is an error. */
export class NetlinkSocket {
  readonly #libc: Libc;
  readonly #fd: number;

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
  }

  static open(libc: Libc, protocol: number): NetlinkSocket {
    const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0) throw callFailed(libc, 'socket');
    const timeout = Buffer.alloc(16);
    timeout.writeBigInt64LE(1n, 0);
    if (libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length) < 0) {
      const error = callFailed(libc, 'setsockopt');
      libc.close(fd);
      throw error;
    }
    return new NetlinkSocket(libc, fd);
  }

  close(): void {
    this.#libc.close(this.#fd);
  }

  send(data: Buffer): void {
    if (this.#libc.send(this.#fd, data, data.length, 0) < 0) throw callFailed(this.#libc, 'send');
  }

  receive(): Message[] {
    const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
    const length = this.#libc.recv(this.#fd, buffer, buffer.length, 0);
    if (length < 0) throw callFailed(this.#libc, 'recv');
    return splitMessages(buffer.subarray(0, length));
  }

  /**
   * Sends requests that each ask for an acknowledgement, and gives what became of each: 0 or the error number of the kernel. What
   * the kernel carried out is not undone where another one failed.
   */
  acknowledged(requests: readonly Buffer[]): number[] {
    this.send(Buffer.concat(requests));
    const results: number[] = [];
    while (results.length < requests.length) {
      for (const message of this.receive()) {
        const end = endOfDump([message]);
        if (end) results.push(end.errno);
      }
    }
    return results;
  }

  /** Sends a request for a list and hands on what comes, a part at a time, giving way to others in between. */
  async dump(request: Buffer, each: (messages: readonly Message[]) => void): Promise<void> {
    this.send(request);
    let began = performance.now();
    for (;;) {
      const messages = this.receive();
      const end = endOfDump(messages);
      if (end && end.errno !== 0) throw refused(end.errno, 'list objects of a kind');
      each(messages);
      if (end) return;
      if (performance.now() - began < SLICE_MS) continue;
      await new Promise((resolve) => setImmediate(resolve));
      began = performance.now();
    }
  }
}
