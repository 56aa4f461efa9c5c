import type { Counters } from '@gwctl/shared/domain/status';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock, Timer } from '../clock.js';
import type { Driver } from '../drivers/driver.js';
import type { HostDesired } from '../planner/types.js';

/** Milliseconds. */
const SHORTEST = 15_000;
/** Reading takes at most this share of the time, and each count that is told at most this long of anybody's. */
const SHARE = 500;
const PER_CHANGE = 20;

export interface CountingOptions {
  readonly driver: Pick<Driver, 'counters'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** What the driver carries; undefined while nobody knows. */
  readonly carried: () => HostDesired | undefined;
  /** Uids whose counters are others than before. */
  readonly onCounted: (changed: ReadonlySet<string>) => void;
}

/** Asks the driver now and then what passed: every 15 s, and less often where that is much. */
export class Counting {
  private counters_: ReadonlyMap<string, Counters> = new Map();
  private timer: Timer | undefined;
  /** Milliseconds that the last count took. */
  private took = 0;
  private stopped = false;

  constructor(private readonly options: CountingOptions) {}

  start(): void {
    if (this.options.driver.counters) this.next(SHORTEST);
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  /** By uid, as last asked. */
  get counters(): ReadonlyMap<string, Counters> {
    return this.counters_;
  }

  private next(ms: number): void {
    if (!this.stopped) this.timer = this.options.clock.after(ms, () => void this.count());
  }

  private async count(): Promise<void> {
    const { driver, clock, carried, log } = this.options;
    const began = clock.monotonic();
    let changed: ReadonlySet<string> = new Set();
    try {
      const host = carried();
      const byKey = host && (await driver.counters?.());
      if (host && byKey) changed = this.take(host, byKey);
    } catch (error) {
      log.warn({ err: error }, 'the counters could not be read');
    }
    if (this.stopped) return;
    if (changed.size > 0) this.options.onCounted(changed);
    // One that took long for once, since something hung, is no reason to count seldom.
    const [before, now] = [this.took, clock.monotonic() - began];
    this.took = now;
    this.next(Math.max(SHORTEST, SHARE * Math.min(before, now), PER_CHANGE * changed.size));
  }

  private take(host: HostDesired, byKey: ReadonlyMap<string, Counters>): ReadonlySet<string> {
    const next = new Map<string, Counters>();
    const changed = new Set<string>();
    for (const { uid, key } of [...host.forwards, ...host.relayed, ...host.egresses]) {
      const now = byKey.get(key);
      const before = this.counters_.get(uid);
      if (!now) continue;
      const same = before && equal(before, now);
      next.set(uid, same ? before : now);
      if (!same) changed.add(uid);
    }
    this.counters_ = next;
    return changed;
  }
}

const equal = (a: Counters, b: Counters): boolean =>
  a.packets === b.packets && a.bytes === b.bytes && a.flows === b.flows && a.refused === b.refused;
