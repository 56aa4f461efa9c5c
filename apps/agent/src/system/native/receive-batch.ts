import { Block } from './block.js';
import { EAGAIN, IP_PKTINFO, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, IPV6_PKTINFO, MSG_DONTWAIT } from './constants.js';
import type { DatagramCalls } from './datagram-calls.js';
import {
  CMSG_DATA,
  CMSG_HEADER_BYTES,
  CMSG_LEVEL,
  CMSG_TYPE,
  CONTROL,
  CONTROL_LENGTH,
  cmsgSpace,
  LENGTH,
  MESSAGE_BYTES,
  MESSAGE_WORDS,
  NAME,
  NAME_BYTES,
  NAME_LENGTH,
  PIECE_BYTES,
  PIECE_COUNT,
  PIECE_LENGTH,
  PIECE_WORDS,
  PIECES,
  PKTINFO4_LOCAL,
  PKTINFO6_BYTES,
  UDP_GRO,
} from './message-layout.js';

/** More than the longest UDP payload (65,507 bytes), and than what the kernel joins with UDP_GRO. */
const ROOM = 65_536;
/** Slots begin at different distances from a page, or the first bytes of all would fight for the same few lines of the cache. */
const STRIDE = ROOM + 320;
const CONTROL_BYTES = cmsgSpace(PKTINFO6_BYTES) + 2 * cmsgSpace(4);

/**
 * Datagrams that recvmmsg(2) filled in, each in a slot of its own; they stay until the slot is received into again. `names`: the
 * socket is not connected, and who sent each is wanted. Only the pages that datagrams touch take memory.
 */
export class ReceiveBatch {
  readonly slots: number;
  readonly #calls: DatagramCalls;
  readonly #messages: Block;
  readonly #pieces: Block;
  readonly #names: Block;
  readonly #control: Block;
  readonly #data: Block;
  readonly #named: boolean;
  /** Bytes of control messages that came with each. */
  readonly #controlLengths: Int32Array;
  /** The last {@link inspect}: size of the datagrams that were joined in the slot, 0 where it is one. */
  segment = 0;
  /** The last {@link inspect}: the word where the gateway's address begins that the datagram came to, or -1. */
  local = -1;

  constructor({ calls, slots, names }: { readonly calls: DatagramCalls; readonly slots: number; readonly names: boolean }) {
    this.slots = slots;
    this.#calls = calls;
    this.#named = names;
    this.#messages = new Block(slots * MESSAGE_BYTES);
    this.#pieces = new Block(slots * PIECE_BYTES);
    this.#names = new Block(slots * NAME_BYTES);
    this.#control = new Block(slots * CONTROL_BYTES);
    this.#data = new Block(slots * STRIDE);
    this.#controlLengths = new Int32Array(slots);
    for (let slot = 0; slot < slots; slot++) this.#prepare(slot);
  }

  /** Into the slots from `first` on, at most `most`. Gives how many came, 0 where none waits, or minus errno. */
  receive(fd: number, first: number, most: number): number {
    const { words } = this.#messages;
    const n = this.#calls.recvmmsg(fd, this.#messages.address + first * MESSAGE_BYTES, most, MSG_DONTWAIT, 0);
    if (n < 0) {
      const errno = this.#calls.errno();
      return errno === EAGAIN ? 0 : -errno;
    }
    // What the kernel wrote there is kept aside, and the room is stated anew for the next time.
    for (let slot = first; slot < first + n; slot++) {
      const at = slot * MESSAGE_WORDS;
      this.#controlLengths[slot] = words[at + CONTROL_LENGTH] as number;
      words[at + CONTROL_LENGTH] = CONTROL_BYTES;
      if (this.#named) words[at + NAME_LENGTH] = NAME_BYTES;
    }
    return n;
  }

  /** Reads what the kernel says beside the datagram: {@link segment} and {@link local}. */
  inspect(slot: number): void {
    this.segment = 0;
    this.local = -1;
    const { words } = this.#control;
    let at = (slot * CONTROL_BYTES) / 4;
    const end = at + (this.#controlLengths[slot] as number) / 4;
    while (at + CMSG_HEADER_BYTES / 4 <= end) {
      const level = words[at + CMSG_LEVEL];
      const type = words[at + CMSG_TYPE];
      if (level === IPPROTO_UDP && type === UDP_GRO) this.segment = words[at + CMSG_DATA] as number;
      else if (level === IPPROTO_IP && type === IP_PKTINFO) this.local = at + CMSG_DATA + PKTINFO4_LOCAL;
      else if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO) this.local = at + CMSG_DATA;
      at += (((words[at] as number) + 7) & ~7) / 4;
    }
    if (this.segment >= this.length(slot)) this.segment = 0;
  }

  length(slot: number): number {
    return this.#messages.words[slot * MESSAGE_WORDS + LENGTH] as number;
  }

  /** Where the payload lies. */
  address(slot: number): number {
    return this.#data.address + slot * STRIDE;
  }

  /** Word `i` of the sender's sockaddr. */
  name(slot: number, i: number): number {
    return this.#names.words[(slot * NAME_BYTES) / 4 + i] as number;
  }

  /** Word `i` of the gateway's address; only after an {@link inspect} that found {@link local}. */
  localWord(i: number): number {
    return this.#control.words[this.local + i] as number;
  }

  /** The sender's address, in place: 4 or 16 bytes in network order. */
  nameBytes(slot: number, from: number, length: number): Uint8Array {
    const at = slot * NAME_BYTES + from;
    return this.#names.bytes.subarray(at, at + length);
  }

  /** The payload, in place. */
  payload(slot: number): Uint8Array {
    const at = slot * STRIDE;
    return this.#data.bytes.subarray(at, at + this.length(slot));
  }

  #prepare(slot: number): void {
    const m = this.#messages;
    const at = slot * MESSAGE_WORDS;
    if (this.#named) {
      m.point(at + NAME, this.#names.address + slot * NAME_BYTES);
      m.words[at + NAME_LENGTH] = NAME_BYTES;
    }
    m.point(at + PIECES, this.#pieces.address + slot * PIECE_BYTES);
    m.words[at + PIECE_COUNT] = 1;
    m.point(at + CONTROL, this.#control.address + slot * CONTROL_BYTES);
    m.words[at + CONTROL_LENGTH] = CONTROL_BYTES;
    this.#pieces.point(slot * PIECE_WORDS, this.address(slot));
    this.#pieces.words[slot * PIECE_WORDS + PIECE_LENGTH] = ROOM;
  }
}
