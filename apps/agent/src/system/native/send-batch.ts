import { Block } from './block.js';
import {
  EINVAL,
  EIO,
  EMSGSIZE,
  IP_PKTINFO,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_UDP,
  IPV6_PKTINFO,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
} from './constants.js';
import type { DatagramCalls } from './datagram-calls.js';
import {
  CMSG_DATA,
  CMSG_HEADER_BYTES,
  CMSG_LEVEL,
  CMSG_TYPE,
  CONTROL,
  CONTROL_LENGTH,
  cmsgSpace,
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
  PKTINFO4_BYTES,
  PKTINFO4_LOCAL,
  PKTINFO6_BYTES,
  UDP_SEGMENT,
} from './message-layout.js';
import { isOfEarlier, type SendOutcome } from './send-outcome.js';

/** Datagrams that go out as one message and are cut apart below the socket (UDP_MAX_SEGMENTS was 64 until kernel 6.9). */
const MOST_SEGMENTS = 64;
/** Payload of one message: what fits into an IPv4 packet. */
const MOST_BYTES = 65_507;
/** Longer datagrams are sent singly: what is cut apart must fit the path's MTU, and 1,500 is the usual one (IPv6 header 40, UDP 8). */
const LONGEST_SEGMENT = 1452;

const SEGMENT_SPACE = cmsgSpace(2);
const IPV4_SPACE = cmsgSpace(PKTINFO4_BYTES);
const IPV6_SPACE = cmsgSpace(PKTINFO6_BYTES);

export interface SendBatchOptions {
  readonly calls: DatagramCalls;
  /** Messages, and datagrams. */
  readonly most: number;
  /** Of the sockets that are sent on if they are not connected; undefined: they are. */
  readonly family?: 4 | 6;
}

/**
 * Datagrams for sendmmsg(2). Neighbours for the same receiver that are equally long become one message that the kernel cuts apart again
 * (UDP_SEGMENT): the way through the network stack is gone once instead of up to 64 times. The payload stays where it is until
 * {@link flush}.
 */
export class SendBatch<T> {
  readonly #calls: DatagramCalls;
  readonly #most: number;
  readonly #messages: Block;
  readonly #pieces: Block;
  readonly #names: Block;
  readonly #control: Block;
  readonly #controlBytes: number;
  /** Bytes of the control message that says the local address; 0: none is ever said. */
  readonly #localSpace: number;
  /** Of each message: payload, datagrams, and how long each but the last is (0: it is not to be cut apart). */
  readonly #bytes: Int32Array;
  readonly #datagrams: Int32Array;
  readonly #segments: Int32Array;
  readonly #owners: (T | undefined)[];
  #count = 0;
  #pieceCount = 0;
  /** The last message takes no more. */
  #closed = true;

  constructor({ calls, most, family }: SendBatchOptions) {
    this.#calls = calls;
    this.#most = most;
    this.#localSpace = family === undefined ? 0 : family === 4 ? IPV4_SPACE : IPV6_SPACE;
    this.#controlBytes = this.#localSpace + SEGMENT_SPACE;
    // One more, for what is sent again.
    this.#messages = new Block((most + 1) * MESSAGE_BYTES);
    this.#pieces = new Block((2 * most + 2) * PIECE_BYTES);
    this.#names = new Block((most + 1) * NAME_BYTES);
    this.#control = new Block((most + 1) * this.#controlBytes);
    this.#bytes = new Int32Array(most);
    this.#datagrams = new Int32Array(most);
    this.#segments = new Int32Array(most);
    this.#owners = new Array<T | undefined>(most).fill(undefined);
    for (let message = 0; message < most; message++) this.#prepare(message, family);
  }

  get empty(): boolean {
    return this.#count === 0;
  }

  /** No further datagram fits. */
  get full(): boolean {
    return this.#count === this.#most || this.#pieceCount > 2 * this.#most - 2;
  }

  /** What follows is for another receiver than what was added before. */
  next(): void {
    this.#closed = true;
  }

  /**
   * Adds one datagram; there must be room. `cuttable`: it may become part of a message with its neighbours. Gives whether it began a
   * message: then that message's receiver is to be said ({@link toIpv4}, {@link toIpv6}) where the socket is not connected.
   */
  add(address: number, length: number, cuttable: boolean): boolean {
    const last = this.#count - 1;
    if (!this.#closed && cuttable && this.#join(last, address, length)) return false;
    this.#begin(address, length, 0, 1);
    this.#closed = !cuttable || length === 0 || length > LONGEST_SEGMENT;
    return true;
  }

  /** Adds datagrams that lie one behind the other, as UDP_GRO joined them: each `segment` long but the last. Begins a message. */
  addJoined(address: number, length: number, segment: number): void {
    this.#begin(address, length, segment, Math.ceil(length / segment));
    this.#cut(this.#count - 1, segment);
    this.#closed = true;
  }

  /** Adds one datagram of two pieces. Begins a message. */
  addTwo(first: number, firstLength: number, second: number, secondLength: number): void {
    this.#begin(first, firstLength, 0, 1);
    this.#piece(second, secondLength);
    const message = this.#count - 1;
    this.#messages.words[message * MESSAGE_WORDS + PIECE_COUNT] = 2;
    this.#bytes[message] = firstLength + secondLength;
    this.#closed = true;
  }

  /** Whose message it is that began last: to be said for each. */
  own(owner: T): void {
    this.#owners[this.#count - 1] = owner;
  }

  /** Receiver of the message that began last: two words of its sockaddr_in. `local`: the address to send from; undefined: the socket's. */
  toIpv4(word0: number, word1: number, local: number | undefined): void {
    const message = this.#count - 1;
    const name = (message * NAME_BYTES) / 4;
    this.#names.words[name] = word0;
    this.#names.words[name + 1] = word1;
    if (local === undefined) return;
    this.#control.words[(message * this.#controlBytes) / 4 + CMSG_DATA + PKTINFO4_LOCAL] = local;
    this.#sayLocal(message);
  }

  /**
   * The same for IPv6, from ten words: the first of a sockaddr_in6, the client's address (4), the zone, the address to send from (4).
   * `local`: that one is to be said. No interface is: it follows from the route, and from the zone where the client is link-local.
   */
  toIpv6(words: Int32Array, local: boolean): void {
    const message = this.#count - 1;
    const name = this.#names.words;
    let at = (message * NAME_BYTES) / 4;
    name[at] = words[0] as number;
    // The flow label stays 0.
    at += 2;
    for (let i = 1; i <= 5; i++) name[at++] = words[i] as number;
    if (!local) return;
    at = (message * this.#controlBytes) / 4 + CMSG_DATA;
    for (let i = 6; i <= 9; i++) this.#control.words[at++] = words[i] as number;
    this.#sayLocal(message);
  }

  /** Sends everything, and is empty afterwards. What the kernel does not take at once is lost, as datagrams are. */
  flush(fd: number, outcome: SendOutcome<T>): void {
    const count = this.#count;
    let again = -1;
    for (let at = 0; at < count; ) {
      const n = this.#calls.sendmmsg(fd, this.#messages.address + at * MESSAGE_BYTES, count - at, FLAGS);
      if (n > 0) {
        at += n;
        continue;
      }
      const errno = this.#calls.errno();
      // An error that an earlier datagram met is told to the next call, which then sends nothing.
      if (again !== at && isOfEarlier(errno)) {
        again = at;
        outcome.told(this.#owners[at] as T, errno);
        continue;
      }
      this.#failed(fd, at, errno, outcome);
      at += 1;
    }
    this.#owners.fill(undefined, 0, count);
    this.#count = this.#pieceCount = 0;
    this.#closed = true;
  }

  #failed(fd: number, message: number, errno: number, outcome: SendOutcome<T>): void {
    const owner = this.#owners[message] as T;
    if (this.#segments[message] !== 0 && (errno === EINVAL || errno === EIO || errno === EMSGSIZE)) {
      outcome.uncut(owner);
      this.#sendSingly(fd, message, outcome);
    } else outcome.lost(owner, this.#bytes[message] as number, this.#datagrams[message] as number, errno);
  }

  #join(message: number, address: number, length: number): boolean {
    const datagrams = this.#datagrams[message] as number;
    const bytes = this.#bytes[message] as number;
    const segment = datagrams === 1 ? bytes : (this.#segments[message] as number);
    if (length > segment || length === 0 || datagrams >= MOST_SEGMENTS || bytes + length > MOST_BYTES) return false;
    this.#piece(address, length);
    this.#messages.words[message * MESSAGE_WORDS + PIECE_COUNT] = datagrams + 1;
    this.#bytes[message] = bytes + length;
    this.#datagrams[message] = datagrams + 1;
    if (datagrams === 1) this.#cut(message, segment);
    // Only the last one may be shorter.
    if (length < segment) this.#closed = true;
    return true;
  }

  #begin(address: number, length: number, segment: number, datagrams: number): void {
    const message = this.#count++;
    const at = message * MESSAGE_WORDS;
    const { words } = this.#messages;
    this.#messages.point(at + PIECES, this.#pieces.address + this.#pieceCount * PIECE_BYTES);
    words[at + PIECE_COUNT] = 1;
    words[at + CONTROL_LENGTH] = 0;
    this.#piece(address, length);
    this.#bytes[message] = length;
    this.#datagrams[message] = datagrams;
    this.#segments[message] = segment;
  }

  #piece(address: number, length: number): void {
    const at = this.#pieceCount++ * PIECE_WORDS;
    this.#pieces.point(at, address);
    this.#pieces.words[at + PIECE_LENGTH] = length;
  }

  /** Says into what the message is to be cut. */
  #cut(message: number, segment: number): void {
    this.#segments[message] = segment;
    const control = (message * this.#controlBytes + this.#localSpace) / 4;
    this.#control.words[control + CMSG_DATA] = segment;
    const at = message * MESSAGE_WORDS;
    // With a local address the two follow each other; without, this one stands alone.
    if (this.#messages.words[at + CONTROL_LENGTH] === 0) this.#pointControl(message, this.#localSpace, SEGMENT_SPACE);
    else this.#pointControl(message, 0, this.#controlBytes);
  }

  #sayLocal(message: number): void {
    this.#pointControl(message, 0, this.#segments[message] === 0 ? this.#localSpace : this.#controlBytes);
  }

  #pointControl(message: number, from: number, length: number): void {
    const at = message * MESSAGE_WORDS;
    this.#messages.point(at + CONTROL, this.#control.address + message * this.#controlBytes + from);
    this.#messages.words[at + CONTROL_LENGTH] = length;
  }

  /** Sends the datagrams of a message one by one, from the spare message. */
  #sendSingly(fd: number, message: number, outcome: SendOutcome<T>): void {
    const { words } = this.#messages;
    const from = message * MESSAGE_WORDS;
    const spare = this.#most * MESSAGE_WORDS;
    words.copyWithin(spare, from, from + MESSAGE_WORDS);
    const alone = (words[from + CONTROL_LENGTH] as number) === SEGMENT_SPACE;
    words[spare + CONTROL_LENGTH] = alone ? 0 : this.#localSpace;
    words[spare + PIECE_COUNT] = 1;
    const piece = 2 * this.#most;
    this.#messages.point(spare + PIECES, this.#pieces.address + piece * PIECE_BYTES);
    const segment = this.#segments[message] as number;
    for (const [address, length] of this.#datagramsOf(message, segment)) {
      this.#pieces.point(piece * PIECE_WORDS, address);
      this.#pieces.words[piece * PIECE_WORDS + PIECE_LENGTH] = length;
      const one = this.#messages.address + this.#most * MESSAGE_BYTES;
      if (this.#calls.sendmmsg(fd, one, 1, FLAGS) === 1 || this.#calls.sendmmsg(fd, one, 1, FLAGS) === 1) continue;
      outcome.lost(this.#owners[message] as T, length, 1, this.#calls.errno());
    }
  }

  *#datagramsOf(message: number, segment: number): Generator<readonly [address: number, length: number]> {
    const { words } = this.#messages;
    const at = message * MESSAGE_WORDS;
    const first = (pointer(words, at + PIECES) - this.#pieces.address) / PIECE_BYTES;
    for (let i = 0; i < (words[at + PIECE_COUNT] as number); i++) {
      const piece = (first + i) * PIECE_WORDS;
      const address = pointer(this.#pieces.words, piece);
      const length = this.#pieces.words[piece + PIECE_LENGTH] as number;
      for (let from = 0; from < length; from += segment) yield [address + from, Math.min(segment, length - from)];
    }
  }

  #prepare(message: number, family: 4 | 6 | undefined): void {
    const at = message * MESSAGE_WORDS;
    const control = (message * this.#controlBytes) / 4;
    if (family !== undefined) {
      this.#messages.point(at + NAME, this.#names.address + message * NAME_BYTES);
      this.#messages.words[at + NAME_LENGTH] = family === 4 ? 16 : 28;
      const bytes = family === 4 ? PKTINFO4_BYTES : PKTINFO6_BYTES;
      this.#prepareControl(control, bytes, family === 4 ? IPPROTO_IP : IPPROTO_IPV6, family === 4 ? IP_PKTINFO : IPV6_PKTINFO);
    }
    this.#prepareControl(control + this.#localSpace / 4, 2, IPPROTO_UDP, UDP_SEGMENT);
  }

  #prepareControl(at: number, bytes: number, level: number, type: number): void {
    this.#control.words[at] = CMSG_HEADER_BYTES + bytes;
    this.#control.words[at + CMSG_LEVEL] = level;
    this.#control.words[at + CMSG_TYPE] = type;
  }
}

const pointer = (words: Int32Array, at: number): number => ((words[at] as number) >>> 0) + (words[at + 1] as number) * 2 ** 32;

const FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL;
