import type { Health } from '../planner/types.js';
import type { ProbeOutcome } from './prober.js';

/** Failures in a row that make a target unhealthy, and successes that make it healthy again. */
const FAILURES = 3;
const SUCCESSES = 2;
/** Milliseconds until a doubt is looked into. */
const RECHECK = 1000;

/** After this many changes within the window (milliseconds), a target must be up for so long before it is healthy again. */
const CHANGES = 5;
const WINDOW = 60_000;
const PROVE = 30_000;
/** Milliseconds between probes while a target proves itself. */
const PROVING = 5000;

/** A round-trip time is told anew when it is that many times the old one, or the other way round, and this far from it. */
const RTT_FACTOR = 1.5;
const RTT_SLACK_US = 100;

/** When a target is to be probed next: after its usual interval, or after so many milliseconds. */
export type Next = 'usual' | number;

/** What probes say of one target over time. No I/O: time is told. */
export class TargetState {
  #health: Health = { state: 'unknown' };
  #failures = 0;
  #successes = 0;
  #upSince: number | undefined;
  /** When it became healthy or unhealthy, within the window. */
  #changes: number[] = [];
  #proving = false;

  /** The same object for as long as it says the same. */
  get health(): Health {
    return this.#health;
  }

  /** Takes in what a probe found at `now`, monotonic milliseconds. */
  record(outcome: ProbeOutcome, now: number): Next {
    switch (outcome.kind) {
      case 'up':
        return this.#up(outcome.rttUs, now);
      case 'down':
        return this.#down(outcome.why, now);
      case 'unable':
        this.#show({ ...this.#health, trouble: `cannot be probed: ${outcome.why}` });
        return 'usual';
    }
  }

  #up(rttUs: number, now: number): Next {
    this.#failures = 0;
    this.#successes++;
    this.#upSince ??= now;
    if (this.#health.state !== 'unhealthy') {
      this.#show({ state: 'healthy', rttUs });
      return 'usual';
    }
    this.#changes = this.#changes.filter((at) => now - at < WINDOW);
    this.#proving ||= this.#changes.length >= CHANGES;
    const proven = this.#proving ? now - this.#upSince >= PROVE : this.#successes >= SUCCESSES;
    if (proven) {
      if (this.#proving) this.#changes = [];
      this.#proving = false;
      this.#changes.push(now);
      this.#show({ state: 'healthy', rttUs });
      return 'usual';
    }
    if (!this.#proving) return RECHECK;
    const trouble = `up again, but it changed ${CHANGES} times within a minute; healthy after ${PROVE / 1000} s without a failure`;
    this.#show({ state: 'unhealthy', rttUs, trouble });
    return PROVING;
  }

  #down(why: string, now: number): Next {
    this.#successes = 0;
    this.#upSince = undefined;
    this.#failures++;
    if (this.#health.state !== 'unhealthy') {
      if (this.#failures < FAILURES) return RECHECK;
      if (this.#health.state === 'healthy') this.#changes.push(now);
    }
    this.#show({ ...this.#health, state: 'unhealthy', trouble: why });
    return 'usual';
  }

  #show(next: Health): void {
    const { state, rttUs, trouble } = this.#health;
    if (next.state === state && next.trouble === trouble && sameRtt(next.rttUs, rttUs)) return;
    this.#health = next;
  }
}

function sameRtt(a: number | undefined, b: number | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Math.abs(a - b) < RTT_SLACK_US || Math.max(a, b) <= Math.min(a, b) * RTT_FACTOR;
}
