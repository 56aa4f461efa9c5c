import { readdirSync, readFileSync } from 'node:fs';
import { now } from './clock.js';

/** Where nothing says what the limit is; the smallest that is common. */
const UNKNOWN_LIMIT = 1024;
const DEFAULT_RESERVE = 64;
/** Of what forwards may take, for one of them as long as there are others. */
const MOST_SHARE = 0.75;
/** Milliseconds. */
const LOOK_EVERY = 100;

/** How many descriptors this process may have, and how many of them forwards may take. */
export class Descriptors {
  readonly limit: number;
  readonly #reserve: number;
  /** Of everything that is no forward, when it was last looked at. */
  #others = 0;
  /** Of forwards. */
  #taken = 0;
  #paused = false;
  #looked = 0;

  /** `limit`: default what the kernel allows this process. `reserve`: kept for everything that is no forward, default 64. */
  constructor(options: { readonly limit?: number; readonly reserve?: number } = {}) {
    this.limit = options.limit ?? readLimit();
    this.#reserve = options.reserve ?? DEFAULT_RESERVE;
    this.used();
  }

  /** Whether too few were left when somebody last asked for some. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Whether `count` more fit. */
  fits(count: number): boolean {
    return this.#others + this.#taken + count <= this.limit - this.#reserve;
  }

  /** Whether one forward may have so many while there are others. */
  fitsShare(count: number): boolean {
    return count <= MOST_SHARE * (this.limit - this.#reserve - this.#others);
  }

  /** Takes `count`, or gives false and takes none. */
  take(count: number): boolean {
    if (!this.fits(count)) this.#lookAgain();
    this.#paused = !this.fits(count);
    if (!this.#paused) this.#taken += count;
    return !this.#paused;
  }

  giveBack(count: number): void {
    this.#taken -= count;
    if (this.fits(2)) this.#paused = false;
  }

  /** Others may have closed some; asking the kernel for each client that is turned away would cost too much. */
  #lookAgain(): void {
    if (now() - this.#looked >= LOOK_EVERY) this.used();
  }

  /** Counts anew: what others in this process opened and closed meanwhile is known then. */
  used(): number {
    const all = countOpen() ?? this.#others + this.#taken;
    this.#others = Math.max(0, all - this.#taken);
    this.#looked = now();
    return all;
  }
}

function readLimit(): number {
  const line = readOr('/proc/self/limits')?.match(/^Max open files\s+(\d+|unlimited)/m)?.[1];
  if (line === undefined) return UNKNOWN_LIMIT;
  return line === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(line);
}

function countOpen(): number | undefined {
  try {
    // The one that reads the directory is gone when it is counted.
    return readdirSync('/proc/self/fd').length - 1;
  } catch {
    // No /proc, as in some jails: what this process knows itself must do.
    return undefined;
  }
}

function readOr(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
