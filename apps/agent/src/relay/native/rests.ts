/**
 * Milliseconds that one rests. As long as an epoll_wait can be asked to take at least; where something else ends that sooner it is asked
 * anew, so a rest can take twice as long.
 */
export const REST = 1;

/** One who rests now and then. Its owner keeps it and sets it again and again, so resting allocates nothing. */
export class Rest {
  /** Milliseconds, with fractions. */
  due = 0;
  set = false;
  before: Rest | undefined;
  after: Rest | undefined;
  /** It is over. Must not throw. */
  readonly over: () => void;

  constructor(over: () => void) {
    this.over = over;
  }
}

/** Who rests, in the order in which it is over: all rest equally long, which is much shorter than a wheel's tick. */
export class Rests {
  #first: Rest | undefined;
  #last: Rest | undefined;

  /** `now`: milliseconds, with fractions. One that rests already begins anew. */
  set(rest: Rest, now: number): void {
    this.clear(rest);
    rest.set = true;
    rest.due = now + REST;
    rest.before = this.#last;
    if (this.#last) this.#last.after = rest;
    else this.#first = rest;
    this.#last = rest;
  }

  clear(rest: Rest): void {
    if (!rest.set) return;
    const { before, after } = rest;
    if (before) before.after = after;
    else this.#first = after;
    if (after) after.before = before;
    else this.#last = before;
    rest.set = false;
    rest.before = rest.after = undefined;
  }

  /** Tells those whose rest is over. */
  turn(now: number): void {
    for (let rest = this.#first; rest && rest.due <= now; rest = this.#first) {
      this.clear(rest);
      rest.over();
    }
  }

  /** Whole milliseconds until the first rest is over; undefined: nobody rests. */
  wait(now: number): number | undefined {
    return this.#first && Math.max(0, Math.ceil(this.#first.due - now));
  }
}
