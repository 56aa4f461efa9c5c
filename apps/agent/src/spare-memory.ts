import type { Clock, Timer } from './clock.js';

/** After so many changed placements at once, what the change needed is worth giving back. */
const MANY = 2000;
/** So is what a read-back of everything, or a count, left: more bytes than this beyond what there was after the last time. */
const MUCH = 24 * 2 ** 20;
/** Milliseconds of quiet before it is. */
const QUIET = 5000;

/** Gives memory back: what V8 calls with `--expose-gc`. */
type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

export interface SpareMemoryOptions {
  readonly clock: Clock;
  readonly collect: Collect | undefined;
  /** Gives back what others than V8 freed. */
  readonly giveBack?: () => void;
  /** Bytes that the process has in memory now. */
  readonly resident?: () => number;
}

/**
 * A first load of tens of thousands of forwards needs several times the memory that holding them does, and V8 keeps what it once had for
 * as long as nothing needs it. A gateway has others who do: once it is quiet, what is free goes back to the kernel. Does nothing where
 * the program was not started with `--expose-gc`.
 */
export class SpareMemory {
  #timer: Timer | undefined;
  /** Starting took some as well, and until then V8 lets the heap grow far (see bin/gwctl-agent). */
  #wanted = true;
  /** Bytes, when all that could be given back just was. */
  #atRest = Number.POSITIVE_INFINITY;

  readonly #options: SpareMemoryOptions;

  constructor(options: SpareMemoryOptions) {
    this.#options = options;
  }

  /** Something was done, by which so many placements changed: maybe none. */
  changed(count: number): void {
    const { clock, collect, giveBack, resident = () => 0 } = this.#options;
    if (!collect) return;
    this.#wanted ||= count >= MANY || resident() - this.#atRest > MUCH;
    if (!this.#wanted) return;
    this.#timer?.cancel();
    this.#timer = clock.after(QUIET, () => {
      this.#wanted = false;
      collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
      giveBack?.();
      this.#atRest = resident();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }
}
