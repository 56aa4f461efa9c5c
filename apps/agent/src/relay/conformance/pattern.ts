import { randomFillSync } from 'node:crypto';

/** Long enough that neither a lost nor a repeated block goes unnoticed, and of no length that buffers have. */
const LENGTH = 1_048_573;
const BYTES = randomFillSync(Buffer.alloc(2 * LENGTH).fill(0, 0, LENGTH));
BYTES.copy(BYTES, LENGTH, 0, LENGTH);

/** Random bytes without end, of which each place can be looked up: nobody needs to keep what was sent. */
export class Pattern {
  readonly #start: number;

  constructor(seed: number) {
    this.#start = Math.abs(seed * 7919) % LENGTH;
  }

  /** At most {@link LENGTH} bytes from `offset`. */
  at(offset: number, length: number): Buffer {
    const from = (this.#start + offset) % LENGTH;
    return BYTES.subarray(from, from + length);
  }

  /** Whether `bytes` are what stands at `offset`. */
  matches(offset: number, bytes: Buffer): boolean {
    for (let i = 0; i < bytes.length; i += LENGTH)
      if (!this.at(offset + i, Math.min(LENGTH, bytes.length - i)).equals(bytes.subarray(i, i + LENGTH))) return false;
    return true;
  }
}

/** Numbers that look random and are the same for the same seed (mulberry32). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From 0 to `most`, both possible. */
  upTo(most: number): number {
    return Math.floor(this.next() * (most + 1));
  }

  chance(share: number): boolean {
    return this.next() < share;
  }
}
