import type { Clock } from '../clock.js';
import { Pace } from '../control-link/pace.js';

/**
 * Who is probed first. `urgent`: one of several targets; `sick`: such a one while it is unhealthy; `soon`: an only target that is new or
 * in doubt; `calm`: all other only targets.
 */
export type Rank = 'urgent' | 'sick' | 'soon' | 'calm';

const RANKS: readonly Rank[] = ['urgent', 'sick', 'soon', 'calm'];

/** Probes under way at once: in all, and of those that may well take their two seconds. */
const MOST = 64;
const MOST_OF: Readonly<Record<Rank, number>> = { urgent: MOST, sick: 24, soon: 8, calm: 8 };

/** Probes a second where health decides about rotation. */
const URGENT_PER_SECOND = 500;
/** For all others together: so many at once, twice a second, because waking up for each costs more than the probe. */
const CALM_BATCH = 5;
const CALM_BATCHES_PER_SECOND = 2;

/** The line of what is to be probed: bounded in number and rate, so that thousands of targets cost next to nothing. */
export class Line<T> {
  readonly #probe: (item: T) => Promise<void>;
  readonly #waiting: Record<Rank, T[]> = { urgent: [], sick: [], soon: [], calm: [] };
  readonly #running: Record<Rank, number> = { urgent: 0, sick: 0, soon: 0, calm: 0 };
  readonly #matters: (item: T) => boolean;
  readonly #urgentPace: Pace;
  readonly #calmPace: Pace;
  /** What is left of the batch under way. */
  #batch = 0;

  /** `matters` says of what waited whether it is still to be probed. */
  constructor(options: {
    readonly clock: Clock;
    readonly probe: (item: T) => Promise<void>;
    readonly matters: (item: T) => boolean;
  }) {
    const { clock } = options;
    this.#probe = options.probe;
    this.#matters = options.matters;
    this.#urgentPace = new Pace({ clock, burst: MOST, perSecond: URGENT_PER_SECOND });
    this.#calmPace = new Pace({ clock, burst: CALM_BATCHES_PER_SECOND, perSecond: CALM_BATCHES_PER_SECOND });
  }

  add(rank: Rank, item: T): void {
    this.#waiting[rank].push(item);
    this.#pump();
  }

  clear(): void {
    for (const rank of RANKS) this.#waiting[rank] = [];
  }

  #pump(): void {
    for (const rank of RANKS) {
      while (this.#mayRun(rank) && this.#next(rank) !== undefined && this.#affords(rank)) this.#run(rank);
    }
  }

  #affords(rank: Rank): boolean {
    const later = () => this.#pump();
    if (rank === 'urgent' || rank === 'sick') return this.#urgentPace.take(later);
    if (this.#batch === 0 && this.#calmPace.take(later)) this.#batch = CALM_BATCH;
    if (this.#batch === 0) return false;
    this.#batch--;
    return true;
  }

  #mayRun(rank: Rank): boolean {
    const { urgent, sick, soon, calm } = this.#running;
    return urgent + sick + soon + calm < MOST && this.#running[rank] < MOST_OF[rank];
  }

  /** Those that are new or in doubt go last in, first out: one forward that is added must not wait for thousands from the start. */
  #next(rank: Rank): T | undefined {
    const waiting = this.#waiting[rank];
    const peek = () => (rank === 'soon' ? waiting.at(-1) : waiting[0]);
    for (let item = peek(); item !== undefined; item = peek()) {
      if (this.#matters(item)) return item;
      this.#take(rank);
    }
    return undefined;
  }

  #take(rank: Rank): T | undefined {
    return rank === 'soon' ? this.#waiting[rank].pop() : this.#waiting[rank].shift();
  }

  #run(rank: Rank): void {
    const item = this.#take(rank);
    if (item === undefined) return;
    this.#running[rank]++;
    void this.#probe(item).finally(() => {
      this.#running[rank]--;
      this.#pump();
    });
  }
}
