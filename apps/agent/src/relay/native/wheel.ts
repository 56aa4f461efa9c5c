/** Milliseconds from one slot to the next. */
export const TICK = 32;
/** A power of two. Timers that are further away than a revolution (16 s) are looked at once in each. */
const SLOTS = 512;

/** One timer that its owner keeps and sets again and again: setting and clearing it allocates nothing. */
export class Timer {
  /** Milliseconds of the wheel's clock. */
  due = 0;
  slot = -1;
  before: Timer | undefined;
  after: Timer | undefined;
  readonly run: () => void;

  constructor(run: () => void) {
    this.run = run;
  }
}

/** Timers by the slot of a wheel (Varghese and Lauck 1987): what each costs does not depend on how many there are. */
export class Wheel {
  readonly #slots: (Timer | undefined)[] = new Array<Timer | undefined>(SLOTS).fill(undefined);
  /** The last tick whose slot was looked at. */
  #tick: number;
  #size = 0;

  constructor(now: number) {
    this.#tick = Math.floor(now / TICK);
  }

  get size(): number {
    return this.#size;
  }

  /** A timer that is set already is moved. It runs up to a tick after `due`, never before. */
  set(timer: Timer, due: number): void {
    this.clear(timer);
    const tick = Math.max(Math.ceil(due / TICK), this.#tick + 1);
    const slot = tick & (SLOTS - 1);
    const head = this.#slots[slot];
    timer.due = due;
    timer.slot = slot;
    timer.before = undefined;
    timer.after = head;
    if (head) head.before = timer;
    this.#slots[slot] = timer;
    this.#size += 1;
  }

  clear(timer: Timer): void {
    if (timer.slot < 0) {
      timer.slot = -1;
      return;
    }
    const { before, after } = timer;
    if (before) before.after = after;
    else this.#slots[timer.slot] = after;
    if (after) after.before = before;
    timer.before = undefined;
    timer.after = undefined;
    timer.slot = -1;
    this.#size -= 1;
  }

  /** Runs what is due. A timer may set or clear itself and others. */
  turn(now: number, failed: (error: unknown) => void): void {
    const until = Math.floor(now / TICK);
    // After a long stop each slot is looked at once, not once for each revolution that was missed.
    this.#tick = Math.max(this.#tick, until - SLOTS);
    while (this.#tick < until) {
      this.#tick += 1;
      const due = this.#takeDue(this.#tick & (SLOTS - 1), now);
      for (const timer of due) {
        // Another one of them may have cleared it, or set it anew.
        if (timer.slot !== TAKEN) continue;
        timer.slot = -1;
        try {
          timer.run();
        } catch (error) {
          failed(error);
        }
      }
    }
  }

  /** Milliseconds until a slot with timers is reached; undefined: there are none. */
  wait(now: number): number | undefined {
    if (this.#size === 0) return undefined;
    for (let i = 1; i <= SLOTS; i++) {
      if (this.#slots[(this.#tick + i) & (SLOTS - 1)]) return Math.max(0, Math.ceil((this.#tick + i) * TICK - now));
    }
    return SLOTS * TICK;
  }

  #takeDue(slot: number, now: number): readonly Timer[] {
    let timer = this.#slots[slot];
    if (!timer) return NONE;
    const due: Timer[] = [];
    while (timer) {
      const next: Timer | undefined = timer.after;
      if (timer.due <= now) {
        this.clear(timer);
        due.push(timer);
      }
      timer = next;
    }
    for (const taken of due) taken.slot = TAKEN;
    return due;
  }
}

/** Out of its slot, and about to run. */
const TAKEN = -2;
const NONE: readonly Timer[] = [];
