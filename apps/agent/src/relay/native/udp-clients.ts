/** Words of a key: the client's family and port, its address, its zone, and the gateway's address that it came to. */
export const KEY_WORDS = { 4: 3, 6: 10 } as const;

/**
 * What belongs to each client of one listening socket. A hash table of its own: a key is a few words that recvmmsg wrote, and looking
 * one up must allocate nothing. Open addressing, at most half full, seeded so that nobody can choose ports that collide.
 */
export class ClientTable<T> {
  /** The key to be looked up or added is written here first. */
  readonly probe: Int32Array;
  readonly #words: number;
  readonly #seed = (Math.random() * 2 ** 32) | 0;
  #keys: Int32Array;
  #values: (T | undefined)[];
  #mask: number;
  #size = 0;

  constructor(words: number) {
    this.#words = words;
    this.probe = new Int32Array(words);
    this.#mask = SMALLEST - 1;
    this.#keys = new Int32Array(SMALLEST * words);
    this.#values = new Array<T | undefined>(SMALLEST).fill(undefined);
  }

  get size(): number {
    return this.#size;
  }

  /** Of the key in {@link probe}. */
  find(): T | undefined {
    return this.#values[this.#slotOf(this.probe)];
  }

  /** Under the key in {@link probe}, which must not be there yet. */
  add(value: T): void {
    if (2 * (this.#size + 1) > this.#values.length) this.#resize(2 * this.#values.length);
    const slot = this.#slotOf(this.probe);
    this.#keys.set(this.probe, slot * this.#words);
    this.#values[slot] = value;
    this.#size += 1;
  }

  delete(key: Int32Array): void {
    let hole = this.#slotOf(key);
    if (this.#values[hole] === undefined) return;
    this.#size -= 1;
    // What lies behind is moved up where the search for it passes the hole (Knuth, 6.4, algorithm R): no marks of the dead remain.
    for (let at = hole; ; ) {
      at = (at + 1) & this.#mask;
      const value = this.#values[at];
      if (value === undefined) break;
      const home = this.#hash(this.#keys, at * this.#words) & this.#mask;
      if (((at - home) & this.#mask) < ((at - hole) & this.#mask)) continue;
      this.#keys.copyWithin(hole * this.#words, at * this.#words, (at + 1) * this.#words);
      this.#values[hole] = value;
      hole = at;
    }
    this.#values[hole] = undefined;
    if (this.#values.length > SMALLEST && 8 * this.#size < this.#values.length) this.#resize(this.#values.length / 2);
  }

  /** All that are there now; what is done with them may change the table. */
  values(): readonly T[] {
    return this.#values.filter((v) => v !== undefined);
  }

  /** Where the key is, or where it would be. */
  #slotOf(key: Int32Array): number {
    const words = this.#words;
    const keys = this.#keys;
    let slot = this.#hash(key, 0) & this.#mask;
    while (this.#values[slot] !== undefined) {
      const at = slot * words;
      let i = 0;
      while (i < words && keys[at + i] === key[i]) i++;
      if (i === words) break;
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }

  /** The mixing of MurmurHash3. */
  #hash(key: Int32Array, from: number): number {
    let h = this.#seed;
    for (let i = from; i < from + this.#words; i++) {
      const k = Math.imul(key[i] as number, 0xcc9e2d51);
      h ^= Math.imul((k << 15) | (k >>> 17), 0x1b873593);
      h = (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
    }
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return h ^ (h >>> 16);
  }

  #resize(slots: number): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#mask = slots - 1;
    this.#keys = new Int32Array(slots * this.#words);
    this.#values = new Array<T | undefined>(slots).fill(undefined);
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (value === undefined) continue;
      const key = keys.subarray(i * this.#words, (i + 1) * this.#words);
      const slot = this.#slotOf(key);
      this.#keys.set(key, slot * this.#words);
      this.#values[slot] = value;
    }
  }
}

const SMALLEST = 16;
