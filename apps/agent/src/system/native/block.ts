import { addressInMemory } from '../libc.js';

/**
 * Memory that the kernel is told the address of. It does not move, and lives as long as this object: whoever hands out an address keeps
 * the block. Pages are taken when they are first written to.
 */
export class Block {
  /** A number, exact below 2^53: the form in which koffi passes an address most cheaply (42 ns a call, against 57 for a Buffer). */
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;

  /** `size`: bytes, a multiple of 8. */
  constructor(size: number) {
    const memory = new ArrayBuffer(size);
    this.bytes = new Uint8Array(memory);
    this.words = new Int32Array(memory);
    this.address = addressInMemory(this.bytes);
  }

  /** Writes a pointer to where the kernel expects one; `word` counts 32 bits each. */
  point(word: number, address: number): void {
    this.words[word] = address | 0;
    this.words[word + 1] = (address / 2 ** 32) | 0;
  }
}
