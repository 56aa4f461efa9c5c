import type { Clock } from '../clock.js';
import { Pace } from '../control-link/pace.js';

/** `doubtful`: what failed the last time. */
export type Lane = 'steady' | 'doubtful';

/** How many run at once in each lane. */
const MOST: Readonly<Record<Lane, number>> = { steady: 16, doubtful: 64 };
/** Milliseconds after which a question that is still open no longer takes up its place in the steady lane. */
const SLOW = 250;
/** Questions a second, each of two packets: below the 1,024 packets a second that resolvers of clouds accept from one host. */
const PER_SECOND = 400;
const BURST = 32;

export interface Question {
  ask(): Promise<void>;
  /** Whether anybody still wants to know. */
  matters(): boolean;
}

/**
 * Spreads questions: bounded in number and rate, and such that a slow one does not hold up the others. What is slow for the first time
 * gives its place away after a moment; what failed the last time waits in a lane of its own.
 */
export class Lanes {
  readonly #clock: Clock;
  readonly #pace: Pace;
  readonly #waiting: Record<Lane, Question[]> = { steady: [], doubtful: [] };
  readonly #running: Record<Lane, number> = { steady: 0, doubtful: 0 };

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#pace = new Pace({ clock, burst: BURST, perSecond: PER_SECOND });
  }

  add(lane: Lane, question: Question): void {
    this.#waiting[lane].push(question);
    this.#pump();
  }

  /** Forgets what has not begun. */
  clear(): void {
    this.#waiting.steady = [];
    this.#waiting.doubtful = [];
  }

  #pump(): void {
    for (;;) {
      const lane = (['steady', 'doubtful'] as const).find((l) => this.#running[l] < MOST[l] && this.#next(l));
      if (!lane || !this.#pace.take(() => this.#pump())) return;
      const question = this.#waiting[lane].shift();
      if (question) this.#run(lane, question);
    }
  }

  /** The first question of a lane that still is one. */
  #next(lane: Lane): Question | undefined {
    const waiting = this.#waiting[lane];
    while (waiting[0] && !waiting[0].matters()) waiting.shift();
    return waiting[0];
  }

  #run(lane: Lane, question: Question): void {
    this.#running[lane]++;
    let counted = true;
    const leave = () => {
      if (!counted) return;
      counted = false;
      this.#running[lane]--;
      this.#pump();
    };
    const slow = lane === 'steady' ? this.#clock.after(SLOW, leave) : undefined;
    void question.ask().finally(() => {
      slow?.cancel();
      leave();
    });
  }
}
