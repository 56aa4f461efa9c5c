import type { Clock, Timer } from '../clock.js';

interface Waiting {
  readonly at: number;
  readonly run: () => void;
}

/** A clock that only moves when a test says so. The wall clock and the monotonic one move together unless it is set. */
export class FakeClock implements Clock {
  private elapsed = 0;
  private waiting: Waiting[] = [];

  constructor(private wall = Date.UTC(2026, 0, 1)) {}

  now(): number {
    return this.wall;
  }

  monotonic(): number {
    return this.elapsed;
  }

  after(ms: number, run: () => void): Timer {
    const entry = { at: this.elapsed + Math.max(0, ms), run };
    this.waiting.push(entry);
    return {
      cancel: () => {
        this.waiting = this.waiting.filter((w) => w !== entry);
      },
    };
  }

  /** Time until the next timer, undefined without one. */
  get next(): number | undefined {
    return this.waiting.length === 0 ? undefined : Math.min(...this.waiting.map((w) => w.at)) - this.elapsed;
  }

  /** Moves the wall clock alone, as an administrator or NTP does. */
  setWall(ms: number): void {
    this.wall = ms;
  }

  /** Lets `ms` pass, running what falls due in order and letting promises settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.elapsed + ms;
    for (;;) {
      const due = this.waiting.filter((w) => w.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.waiting = this.waiting.filter((w) => w !== due);
      this.wall += due.at - this.elapsed;
      this.elapsed = due.at;
      due.run();
      await settle();
    }
    this.wall += end - this.elapsed;
    this.elapsed = end;
    await settle();
  }
}

/** Lets everything run that waits for promises only. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}
