import type { Random } from '../clock.js';
import type { Resolution } from '../planner/types.js';
import { type Addresses, type Answers, judge, keyOf, NO_ADDRESSES } from './answer.js';
import type { Remembered } from './remembered.js';

/** When an answer is asked for again. Milliseconds. */
export interface Pacing {
  readonly floor: number;
  readonly ceiling: number;
}

export interface Moment {
  readonly now: number;
  readonly wall: number;
}

/** Damping, in milliseconds: more than so many changes in the window, and only every so often is one followed. */
const WINDOW = 60_000;
const CHANGES = 4;
const FOLLOW = 30_000;
/** A damped name is followed at once again when its answer changed less often than this in the window. */
const CALM = 2;

/** Milliseconds between questions that fail. */
const LONGEST_RETRY = 60_000;
const SHORTEST_RETRY = 500;
/** A TTL is stretched by at most this, so that names that were asked for together drift apart. */
const STRETCH = 0.05;

/** What is known of one name, and when it should be asked for again. No I/O: time is told. */
export class TrackedName {
  #resolution: Resolution;
  /** The last good answer, followed or not. */
  #latest: { readonly addresses: Addresses; readonly key: string } | undefined;
  #followed: { readonly addresses: Addresses; readonly key: string; readonly at: number } | undefined;
  #answered: number | undefined;
  /** When the answer changed, within the window. */
  #changes: number[] = [];
  #damped = false;
  #failures = 0;

  constructor(remembered?: Remembered) {
    this.#answered = remembered?.answered;
    this.#resolution = { addresses: [], fresh: false };
    if (!remembered) return;
    const addresses = familiesOf(remembered);
    this.#follow(addresses, keyOf(addresses), Number.NEGATIVE_INFINITY);
    this.#latest = { addresses, key: keyOf(addresses) };
    this.#resolution = { addresses: remembered.addresses, fresh: false, answered: remembered.answered };
  }

  get resolution(): Resolution {
    return this.#resolution;
  }

  /** Whether the last question failed. */
  get failing(): boolean {
    return this.#failures > 0;
  }

  /**
   * Takes in what was answered, at `now` by the monotonic clock and at `wall` by the other, both in milliseconds. `worry` is what else
   * may be why there is no answer. Gives the milliseconds until it should be asked again.
   */
  record(answers: Answers, at: Moment, pacing: Pacing, random: Random, worry?: string): number {
    const judged = judge(answers, this.#latest?.addresses ?? NO_ADDRESSES);
    if (judged.kind === 'bad') {
      this.#show(false, worry === undefined ? judged.trouble : `${judged.trouble}; ${worry}`);
      return this.#retry(pacing, random);
    }
    this.#failures = 0;
    this.#answered = at.wall;
    this.#take(judged.addresses, at.now);
    const damped = this.#damped ? `the answer changes often; followed every ${FOLLOW / 1000} s` : undefined;
    const trouble = [judged.lacking, damped, judged.remark].filter((text) => text !== undefined).join('; ');
    this.#show(judged.lacking === undefined, trouble || undefined);
    const ttl = Math.min(pacing.ceiling, Math.max(pacing.floor, judged.ttl * 1000));
    return (this.#damped ? Math.min(ttl, FOLLOW) : ttl) * (1 + STRETCH * random());
  }

  #take(addresses: Addresses, now: number): void {
    const key = keyOf(addresses);
    this.#changes = this.#changes.filter((at) => now - at < WINDOW);
    if (this.#latest && this.#latest.key !== key) this.#changes.push(now);
    this.#latest = { addresses, key };
    this.#damped = this.#damped ? this.#changes.length >= CALM : this.#changes.length > CHANGES;
    if (this.#followed?.key === key) return;
    if (!this.#damped || !this.#followed || now - this.#followed.at >= FOLLOW) this.#follow(addresses, key, now);
  }

  #follow(addresses: Addresses, key: string, at: number): void {
    this.#followed = { addresses, key, at };
  }

  /** Full jitter between nothing and a bound that doubles from the floor. */
  #retry(pacing: Pacing, random: Random): number {
    const longest = Math.min(LONGEST_RETRY, pacing.ceiling);
    const bound = Math.min(longest, pacing.floor * 2 ** Math.min(this.#failures, 20));
    this.#failures++;
    return Math.max(SHORTEST_RETRY, random() * bound);
  }

  /** Makes another object only where it would say something else. When a fresh answer came says nothing to anybody. */
  #show(fresh: boolean, trouble: string | undefined): void {
    const before = this.#resolution;
    const followed = this.#followed?.addresses ?? NO_ADDRESSES;
    const sameAddresses = keyOf(followed) === before.addresses.map((a) => a.text).join(' ');
    if (sameAddresses && before.fresh === fresh && before.trouble === trouble) return;
    this.#resolution = {
      addresses: sameAddresses ? before.addresses : [...followed[4], ...followed[6]],
      fresh,
      ...(this.#answered !== undefined && { answered: this.#answered }),
      ...(trouble !== undefined && { trouble }),
    };
  }
}

function familiesOf({ addresses }: Remembered): Addresses {
  return { 4: addresses.filter((a) => a.family === 4), 6: addresses.filter((a) => a.family === 6) };
}
