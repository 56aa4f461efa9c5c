import type { Clock } from '../clock.js';

/** Milliseconds. */
const WINDOW = 60_000;
const FIRST_TRUCE = 60_000;
const LONGEST_TRUCE = 600_000;

export interface FlapGuardOptions {
  readonly clock: Clock;
  /**
   * Repairs per minute against the same process before this agent stops fighting. Default 120: a program that undoes each repair at
   * once does so many times a second, while somebody who flushes rules by hand or from a timer never comes near.
   */
  readonly most?: number;
}

/** Notices that somebody keeps undoing what this agent repairs. Two programs that fight help nobody; saying so may. */
export class FlapGuard {
  private readonly repairs = new Map<string, number[]>();
  private until = 0;
  private truces = 0;

  constructor(private readonly options: FlapGuardOptions) {}

  /** Notes that `process` was found to have changed our objects. True: too often, and from now on it is left alone for a while. */
  tooMany(process: string): boolean {
    const now = this.options.clock.monotonic();
    const recent = (this.repairs.get(process) ?? []).filter((at) => now - at < WINDOW);
    recent.push(now);
    this.repairs.set(process, recent);
    if (recent.length <= (this.options.most ?? 120)) return false;
    this.repairs.delete(process);
    // A quiet hour since the last truce makes this one the first again.
    if (now - this.until > 3_600_000) this.truces = 0;
    this.until = now + Math.min(LONGEST_TRUCE, FIRST_TRUCE * 2 ** this.truces++);
    return true;
  }

  /** Milliseconds until it is tried again; 0 where nothing is contested. */
  truce(): number {
    return Math.max(0, this.until - this.options.clock.monotonic());
  }
}
