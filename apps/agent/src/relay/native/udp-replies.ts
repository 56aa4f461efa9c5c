import type { DatagramCalls } from '../../system/native/datagram-calls.js';
import { ReceiveBatch } from '../../system/native/receive-batch.js';
import { SendBatch } from '../../system/native/send-batch.js';
import type { SendOutcome } from '../../system/native/send-outcome.js';
import type { EpollLoop, Ready } from './epoll-loop.js';

/** Replies that wait to be sent. */
const SLOTS = 128;
/** Taken from one target's socket in one turn. */
const BURST = 32;

/** The socket that replies leave from. */
export interface ReplyPort {
  readonly fd: number;
  readonly family: 4 | 6;
  /** Replies that wait; undefined: none. */
  outbox: SendBatch<ReplyReceiver> | undefined;
}

/** A client that replies go to. */
export interface ReplyReceiver {
  /** The socket that its target answers to. */
  readonly fd: number;
  readonly port: ReplyPort;
  /** Several replies may wait, so that it pays to ask for many. */
  burst: boolean;
  /** Datagrams to this client can be cut apart below the socket. */
  replyCuttable: boolean;
  /** Says the client's address for the message that `batch` began last. */
  address(batch: SendBatch<ReplyReceiver>): void;
  replyLost(bytes: number, datagrams: number): void;
}

/**
 * The way back: replies of all targets that were ready in a turn of the loop are received into one set of slots and leave with one call
 * for each listening socket, when all had their turn or when the slots are full.
 */
export class UdpReplies implements Ready, SendOutcome<ReplyReceiver> {
  readonly #loop: EpollLoop;
  readonly #calls: DatagramCalls;
  readonly #batch: ReceiveBatch;
  readonly #spare: { readonly 4: SendBatch<ReplyReceiver>[]; readonly 6: SendBatch<ReplyReceiver>[] } = { 4: [], 6: [] };
  readonly #waiting: ReplyPort[] = [];
  #used = 0;
  #asked = false;
  /** Payload of the last {@link receive}. */
  bytes = 0;
  datagrams = 0;

  constructor({ loop, calls }: { readonly loop: EpollLoop; readonly calls: DatagramCalls }) {
    this.#loop = loop;
    this.#calls = calls;
    this.#batch = new ReceiveBatch({ calls, slots: SLOTS, names: false });
  }

  /** Takes what waits for `to`. Gives 0 or minus errno; {@link bytes} and {@link datagrams} say how much it was. */
  receive(to: ReplyReceiver): number {
    this.bytes = this.datagrams = 0;
    if (this.#used === SLOTS) this.flush();
    const first = this.#used;
    const n = this.#batch.receive(to.fd, first, to.burst ? Math.min(BURST, SLOTS - first) : 1);
    if (n <= 0) return n;
    this.#used = first + n;
    const outbox = this.#outboxOf(to.port);
    outbox.next();
    for (let slot = first; slot < first + n; slot++) this.#add(outbox, slot, to);
    if (!this.#asked) {
      this.#asked = true;
      this.#loop.repeat(this);
    }
    return 0;
  }

  /** The loop's turn after all that were ready had theirs. */
  ready(): void {
    this.#asked = false;
    this.flush();
  }

  flush(): void {
    for (const port of this.#waiting) {
      const { outbox } = port;
      if (!outbox) continue;
      outbox.flush(port.fd, this);
      port.outbox = undefined;
      this.#spare[port.family].push(outbox);
    }
    this.#waiting.length = 0;
    this.#used = 0;
  }

  lost(to: ReplyReceiver, bytes: number, datagrams: number): void {
    to.replyLost(bytes, datagrams);
  }

  /** A socket that is not connected is told nothing of earlier datagrams. */
  told(): void {}

  uncut(to: ReplyReceiver): void {
    to.replyCuttable = false;
  }

  #add(outbox: SendBatch<ReplyReceiver>, slot: number, to: ReplyReceiver): void {
    const batch = this.#batch;
    batch.inspect(slot);
    const { segment } = batch;
    const address = batch.address(slot);
    const length = batch.length(slot);
    this.bytes += length;
    if (segment === 0) {
      this.#one(outbox, address, length, to);
      return;
    }
    if (to.replyCuttable) {
      if (outbox.full) outbox.flush(to.port.fd, this);
      outbox.addJoined(address, length, segment);
      to.address(outbox);
      this.datagrams += Math.ceil(length / segment);
      return;
    }
    for (let from = 0; from < length; from += segment) this.#one(outbox, address + from, Math.min(segment, length - from), to);
  }

  #one(outbox: SendBatch<ReplyReceiver>, address: number, length: number, to: ReplyReceiver): void {
    this.datagrams += 1;
    if (outbox.full) outbox.flush(to.port.fd, this);
    if (outbox.add(address, length, to.replyCuttable)) to.address(outbox);
  }

  #outboxOf(port: ReplyPort): SendBatch<ReplyReceiver> {
    if (port.outbox) return port.outbox;
    port.outbox = this.#spare[port.family].pop() ?? new SendBatch({ calls: this.#calls, most: SLOTS, family: port.family });
    this.#waiting.push(port);
    return port.outbox;
  }
}
