import type { Clock, Timer } from '../clock.js';

/** A token bucket: so many at once, so many a second afterwards. The control plane cuts agents that talk too much. */
export class Pace {
  private tokens: number;
  private filled: number;
  private timer: Timer | undefined;

  constructor(private readonly options: { readonly clock: Clock; readonly burst: number; readonly perSecond: number }) {
    this.tokens = options.burst;
    this.filled = options.clock.monotonic();
  }

  /** Takes one token, or arranges for `later` to run once there is one. */
  take(later: () => void): boolean {
    const { clock, burst, perSecond } = this.options;
    const now = clock.monotonic();
    this.tokens = Math.min(burst, this.tokens + ((now - this.filled) / 1000) * perSecond);
    this.filled = now;
    if (this.tokens >= 1) {
      this.tokens--;
      return true;
    }
    // Whole milliseconds: a remainder too small for the clock to tell apart would be waited for over and over.
    this.timer ??= clock.after(Math.ceil(((1 - this.tokens) / perSecond) * 1000), () => {
      this.timer = undefined;
      later();
    });
    return false;
  }
}
