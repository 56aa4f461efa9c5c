/** Messages a second that an agent may send for long. */
export const RATE_PER_SECOND = 50;
/** How many may come at once after a quiet time. */
export const BURST = 200;
/** What each message of ours that asks for an answer allows on top: accepted, applied, and what changed with it. */
const CREDIT_PER_PUSH = 4;

/** A token bucket. Answers that we asked for do not count against the agent, so a busy control plane cannot cut its own agents. */
export class InboundLimit {
  private tokens = BURST;
  private last: number;

  /** @param now Milliseconds of a monotonic clock, here and in {@link take}. */
  constructor(now: number) {
    this.last = now;
  }

  /** We sent something that the agent will answer. */
  pushed(): void {
    this.tokens = Math.min(this.tokens + CREDIT_PER_PUSH, 2 * BURST);
  }

  /** Whether one more message may come. */
  take(now: number): boolean {
    const earned = ((now - this.last) / 1000) * RATE_PER_SECOND;
    this.last = now;
    if (this.tokens < BURST) this.tokens = Math.min(BURST, this.tokens + earned);
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}
