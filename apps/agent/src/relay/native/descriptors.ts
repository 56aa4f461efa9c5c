import type { Descriptors } from './side.js';

const [USED, MOST, PAUSED] = [0, 1, 2];

/** How many descriptors all threads of the relay hold, and how many they may: what is kept back stays for everything that is no forward. */
export class SharedDescriptors implements Descriptors {
  readonly #words: Int32Array;
  readonly #onExhausted: () => void;

  /** `memory`: of {@link descriptorMemory}. `onExhausted`: there is no room, and accepting should rest. */
  constructor(memory: SharedArrayBuffer, onExhausted: () => void) {
    this.#words = new Int32Array(memory);
    this.#onExhausted = onExhausted;
  }

  get used(): number {
    return Atomics.load(this.#words, USED);
  }

  get most(): number {
    return Atomics.load(this.#words, MOST);
  }

  set most(most: number) {
    Atomics.store(this.#words, MOST, most);
  }

  /** Enough for a while: accepting goes on. Some more than one connection needs, or it would stop and go with each. */
  get hasRoom(): boolean {
    return this.used + Math.max(4, Math.floor(this.most / 50)) <= this.most;
  }

  take(count: number): boolean {
    if (Atomics.add(this.#words, USED, count) + count <= this.most) return true;
    Atomics.sub(this.#words, USED, count);
    return false;
  }

  /** For what is opened whether there is room or not: listeners. */
  takeAnyway(count: number): void {
    Atomics.add(this.#words, USED, count);
  }

  give(count: number): void {
    Atomics.sub(this.#words, USED, count);
  }

  /** Workers in which accepting rests. */
  get paused(): number {
    return Atomics.load(this.#words, PAUSED);
  }

  pause(paused: boolean): void {
    Atomics.add(this.#words, PAUSED, paused ? 1 : -1);
  }

  exhausted(): void {
    this.#onExhausted();
  }
}

/** `most`: descriptors for the relay's sockets and pipes. */
export function descriptorMemory(most: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(12);
  new Int32Array(memory)[MOST] = most;
  return memory;
}
