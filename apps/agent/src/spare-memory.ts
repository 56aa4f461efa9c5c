import type { Clock, Timer } from './clock.js';

/** After so many changed placements at once, what the change needed is worth giving back. */
const MANY = 2000;
/** Milliseconds of quiet before it is. */
const QUIET = 5000;

/** Gives memory back: what V8 calls with `--expose-gc`. */
type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * A first load of tens of thousands of forwards needs several times the memory that holding them does, and V8 keeps what it once had for
 * as long as nothing needs it. A gateway has others who do: once it is quiet, what is free goes back to the kernel. Does nothing where
 * the program was not started with `--expose-gc`.
 */
export class SpareMemory {
  #timer: Timer | undefined;
  #wanted = false;

  readonly #options: { readonly clock: Clock; readonly collect: Collect | undefined };

  constructor(options: { readonly clock: Clock; readonly collect: Collect | undefined }) {
    this.#options = options;
  }

  /** So many placements changed just now. */
  changed(count: number): void {
    const { clock, collect } = this.#options;
    if (!collect) return;
    this.#wanted ||= count >= MANY;
    if (!this.#wanted) return;
    this.#timer?.cancel();
    this.#timer = clock.after(QUIET, () => {
      this.#wanted = false;
      collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }
}
