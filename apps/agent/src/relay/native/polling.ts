/**
 * Milliseconds for which a worker asks again and again whether something is ready before it sleeps. Being woken takes as long on many
 * machines, above all on virtual ones: the processor was halted meanwhile.
 */
export const POLL = 0.05;
/** So many sleeps in a row that were no longer than that show an exchange of small messages that goes on. */
const SHORT_ONES = 8;
/** And so many more, once another program was kept from the processor by it. */
const AFTER_LATE = 1000;

/**
 * Whether polling pays, told by how long a worker slept lately (like KVM's halt polling). Who gets a message every few hundred
 * microseconds, or less often, never makes it poll; who has bulk to move does not either, since nobody waits for one byte of it.
 */
export class Polling {
  #short = 0;

  /** Milliseconds; 0: sleep at once. */
  get ms(): number {
    return this.#short >= SHORT_ONES ? POLL : 0;
  }

  /** It polled so long. Much longer than it meant to: somebody else had the processor meanwhile, and needs it more. */
  polled(ms: number): void {
    if (ms > 2 * POLL) this.#short = -AFTER_LATE;
  }

  slept(ms: number): void {
    if (ms <= POLL) this.#short = Math.min(this.#short + 1, SHORT_ONES);
    else this.#short = Math.min(this.#short, 0);
  }

  /** There is more to do than could be done at once. */
  bulk(): void {
    this.#short = Math.min(this.#short, 0);
  }
}
