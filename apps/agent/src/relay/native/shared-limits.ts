import { isMapped, readUint32 } from '@gwctl/shared/domain/ip-bytes';
import { hashAddress } from '../core/address.js';
import type { Caps, Limit } from '../core/limits.js';

/** 32-bit words ahead of the table: connections open, the lock, slots of the table. */
const [OPEN, LOCK, SLOTS] = [0, 1, 2];
const HEAD = 4;
/** Words of a slot: two of the client, and how many connections it has. */
const [FIRST, SECOND, COUNT] = [0, 1, 2];
const WIDTH = 3;
const MOST_SLOTS = 1 << 18;
/** Attempts to get the lock, which is held for some hundred nanoseconds. More means that its holder is gone. */
const ATTEMPTS = 10_000_000;

/** Memory for the connections of a forward. `clients`: at a time; 0: they are not counted one by one. */
export function limitsMemory(clients: number): SharedArrayBuffer {
  let slots = clients === 0 ? 0 : 1024;
  while (slots !== 0 && slots < 2 * clients && slots < MOST_SLOTS) slots *= 2;
  const memory = new SharedArrayBuffer((HEAD + slots * WIDTH) * 4);
  new Int32Array(memory)[SLOTS] = slots;
  return memory;
}

/** Whether each client's connections are counted there. */
export const countsClients = (memory: SharedArrayBuffer): boolean => new Int32Array(memory)[SLOTS] !== 0;

/**
 * How many connections (and clients over UDP) a forward has, and each of its clients: the same numbers for all threads, and exact. Of an
 * IPv4 client the table has the address, of an IPv6 client 63 bits of a hash: two of a million share a number once in ten million times.
 */
export class SharedLimits {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #mask: number;
  #caps: Caps;
  /** Of the client that was looked at last. */
  #first = 0;
  #second = 0;

  constructor(memory: SharedArrayBuffer, caps: Caps) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
    this.#mask = (this.#words[SLOTS] ?? 0) - 1;
    this.#caps = caps;
  }

  get open(): number {
    return Atomics.load(this.#words, OPEN);
  }

  set caps(caps: Caps) {
    this.#caps = caps;
  }

  /** Counts one more of the client with that address (4 or 16 bytes), or says what does not allow it and counts nothing. */
  enter(bytes: Uint8Array, at: number, length: number): Limit | undefined {
    const most = this.#caps.maxConnections;
    const before = Atomics.add(this.#words, OPEN, 1);
    let limit: Limit | undefined = most !== undefined && before >= most ? 'forward' : undefined;
    if (!limit && this.#mask > 0 && !this.#enterClient(bytes, at, length, this.#caps.maxConnectionsPerClient)) limit = 'client';
    if (limit) Atomics.sub(this.#words, OPEN, 1);
    return limit;
  }

  /** Counts one that is there already, whatever the limits. */
  count(bytes: Uint8Array, at: number, length: number): void {
    Atomics.add(this.#words, OPEN, 1);
    if (this.#mask > 0) this.#enterClient(bytes, at, length, undefined);
  }

  /** For each {@link enter} that went well and each {@link count}, once. */
  leave(bytes: Uint8Array, at: number, length: number): void {
    Atomics.sub(this.#words, OPEN, 1);
    if (this.#mask <= 0) return;
    this.#identify(bytes, at, length);
    this.#lock();
    const slot = this.#find();
    const words = this.#words;
    if (words[slot + SECOND] !== 0) {
      const left = (words[slot + COUNT] ?? 0) - 1;
      words[slot + COUNT] = left;
      if (left <= 0) this.#remove(slot);
    }
    this.#unlock();
  }

  #enterClient(bytes: Uint8Array, at: number, length: number, most: number | undefined): boolean {
    this.#identify(bytes, at, length);
    this.#lock();
    const slot = this.#find();
    const words = this.#words;
    const his = words[slot + COUNT] ?? 0;
    // A table that is full knows nobody new: slots are twice as many as clients can be, up to a quarter of a million.
    const may = slot >= 0 && (most === undefined || his < most);
    if (may) {
      words[slot + FIRST] = this.#first;
      words[slot + SECOND] = this.#second;
      words[slot + COUNT] = his + 1;
    }
    this.#unlock();
    return may;
  }

  #identify(bytes: Uint8Array, at: number, length: number): void {
    const ipv4 = length === 4 ? at : isMapped(bytes, at) ? at + 12 : -1;
    this.#first = (ipv4 >= 0 ? readUint32(bytes, ipv4) : hashAddress(bytes, at, 16)) | 0;
    // Never 0, which is an empty slot, and odd only for IPv4.
    this.#second = ipv4 >= 0 ? 1 : mix(bytes, at) & ~1 || 2;
  }

  /** The client's slot, or the empty one where it belongs; below 0: the table is full. */
  #find(): number {
    const words = this.#words;
    const home = spread(this.#first);
    for (let i = 0; i <= this.#mask; i++) {
      const slot = HEAD + ((home + i) & this.#mask) * WIDTH;
      const second = words[slot + SECOND];
      if (second === 0 || (second === this.#second && words[slot + FIRST] === this.#first)) return slot;
    }
    return -1;
  }

  /** Those behind it move up, so that a search never ends too early (Knuth, volume 3, section 6.4, algorithm R). */
  #remove(slot: number): void {
    const words = this.#words;
    let hole = (slot - HEAD) / WIDTH;
    for (let i = (hole + 1) & this.#mask; ; i = (i + 1) & this.#mask) {
      const from = HEAD + i * WIDTH;
      if (words[from + SECOND] === 0 || i === hole) break;
      const home = spread(words[from + FIRST] ?? 0) & this.#mask;
      if (((i - home) & this.#mask) < ((i - hole) & this.#mask)) continue;
      words.copyWithin(HEAD + hole * WIDTH, from, from + WIDTH);
      hole = i;
    }
    words.fill(0, HEAD + hole * WIDTH, HEAD + (hole + 1) * WIDTH);
  }

  #lock(): void {
    for (let i = 0; i < ATTEMPTS; i++) if (Atomics.compareExchange(this.#words, LOCK, 0, 1) === 0) return;
  }

  #unlock(): void {
    Atomics.store(this.#words, LOCK, 0);
  }
}

const spread = (word: number): number => {
  const h = Math.imul(word ^ (word >>> 16), 0x9e3779b1);
  return (h ^ (h >>> 15)) >>> 0;
};

/** Independent of {@link hashAddress}. */
function mix(bytes: Uint8Array, at: number): number {
  let h = 0x27d4eb2f;
  for (let i = 0; i < 16; i += 4) {
    h = Math.imul(h ^ readUint32(bytes, at + i), 0x85ebca77);
    h ^= h >>> 13;
  }
  return h | 0;
}
