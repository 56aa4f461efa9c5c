/** Milliseconds between two looks at all flows, at least and at most. */
const SHORTEST = 20;
const LONGEST = 1_000;

/**
 * One timer for the idle times of all flows: they are looked at about four times within the shortest of them, but not more than once in
 * 20 ms and at least once a second. Moving data then costs no more than noting the time.
 */
export class Sweep {
  readonly #look: () => void;
  #timer: NodeJS.Timeout | undefined;
  #every = 0;

  constructor(look: () => void) {
    this.#look = look;
  }

  /** `shortest`: of all idle times, in milliseconds; undefined: there are none, so nothing is looked at. */
  set shortest(shortest: number | undefined) {
    const every = shortest === undefined ? 0 : Math.min(LONGEST, Math.max(SHORTEST, shortest / 4));
    if (every === this.#every) return;
    this.#every = every;
    clearInterval(this.#timer);
    this.#timer = every === 0 ? undefined : setInterval(this.#look, every);
    this.#timer?.unref();
  }

  stop(): void {
    this.shortest = undefined;
  }
}
