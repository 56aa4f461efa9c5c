import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock, Random, Timer } from '../clock.js';
import type { DesiredView } from '../desired/types.js';
import type { Driver } from '../drivers/driver.js';
import type { Planned } from '../planner/types.js';

/** Milliseconds, all of them. */
const WATCHED_AUDIT = 180_000;
const UNWATCHED_AUDIT = 10_000;
/** After a write everything is read back once more: whoever reacts to it does so now. */
const AFTER_WRITE = 2_000;
/** What the kernel announces comes in bursts. */
const DEBOUNCE = 30;
/** A read-back takes at most this share of the time, however much the kernel announces. */
const SHARE = 5;
const LONGEST_GAP = 1_000;
/** How often the host's sockets and addresses are looked at, while a forward waits for them to change, and otherwise. */
const FACTS_AWAITED = 2_000;
const FACTS = 15_000;
/** Expiry is a matter of the wall clock, which may jump. */
const LONGEST_EXPIRY_WAIT = 60_000;
const FIRST_RETRY = 500;
const LONGEST_RETRY = 60_000;
/** Who changed the rules is known for as long as the read-back that finds out may take to begin. */
const REMEMBERED = 5_000;

export interface TriggersOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly driver: Driver;
  readonly request: (mode: 'fast' | 'full') => void;
}

/** Decides when a pass is due: what the kernel announces, and what time brings. */
export class Triggers {
  private readonly timers = new Map<'audit' | 'after' | 'watch' | 'facts' | 'expiry' | 'retry' | 'truce', Timer>();
  private watch: { close(): void } | undefined;
  private hostWatch: { close(): void } | undefined;
  private contested: () => boolean = () => false;
  private lastChange: { readonly process: string; readonly at: number } | undefined;
  private observedAt = Number.NEGATIVE_INFINITY;
  private observeTook = 0;
  private stopped = false;

  constructor(private readonly options: TriggersOptions) {}

  /** `contested`: whether repairs rest. */
  start(contested: () => boolean): void {
    this.contested = contested;
    const { driver } = this.options;
    this.watch = driver.watch?.((by) => this.announced(by));
    // Rules that nobody announces are still looked at every few seconds.
    if (!this.watch) this.hostWatch = driver.watchHost?.((by) => this.announced(by));
    this.audit();
  }

  stop(): void {
    this.stopped = true;
    this.watch?.close();
    this.hostWatch?.close();
    for (const timer of this.timers.values()) timer.cancel();
    this.timers.clear();
  }

  /** Who announced itself with the last change of rules, if that was just now. */
  changedBy(): string | undefined {
    const { lastChange } = this;
    return lastChange && this.options.clock.monotonic() - lastChange.at < REMEMBERED ? lastChange.process : undefined;
  }

  /** A read-back was done and took so long. */
  observed(took: number): void {
    this.observedAt = this.options.clock.monotonic();
    this.observeTook = took;
  }

  /** The plan is made: what of it depends on time and host decides when to look again. */
  planned(view: DesiredView, { awaitsHost, nextExpiry }: Planned, now: number): void {
    if (view.entries.length > 0) this.set('facts', awaitsHost ? FACTS_AWAITED : FACTS, () => this.options.request('fast'));
    if (nextExpiry === undefined) return;
    const wait = Math.min(LONGEST_EXPIRY_WAIT, Math.max(0, nextExpiry - now));
    this.set('expiry', wait, () => this.options.request('fast'));
  }

  wrote(): void {
    this.set('after', AFTER_WRITE, () => this.repair());
  }

  retry(failures: number): void {
    const longest = Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** Math.min(failures - 1, 10));
    this.set('retry', longest * (0.5 + 0.5 * this.options.random()), () => this.options.request('full'));
  }

  /** Repairs rest for so long, and then everything is looked at again. */
  truce(ms: number): void {
    this.set('truce', ms, () => this.options.request('full'));
  }

  private announced(by: { readonly process?: string; readonly pid?: number }): void {
    const { clock } = this.options;
    if (by.process !== undefined) this.lastChange = { process: by.process, at: clock.monotonic() };
    if (this.timers.has('watch')) return;
    const gap = Math.min(LONGEST_GAP, this.observeTook * SHARE);
    const wait = Math.max(DEBOUNCE, this.observedAt + gap - clock.monotonic());
    this.set('watch', wait, () => this.repair());
  }

  private audit(): void {
    const period = this.watch ? WATCHED_AUDIT : UNWATCHED_AUDIT;
    // A little chance, so that gateways that started together do not all look at once.
    this.set('audit', period * (0.9 + 0.1 * this.options.random()), () => {
      this.repair();
      this.audit();
    });
  }

  private repair(): void {
    if (this.contested()) return;
    this.options.request('full');
  }

  private set(name: Parameters<typeof this.timers.set>[0], ms: number, run: () => void): void {
    if (this.stopped) return;
    this.timers.get(name)?.cancel();
    this.timers.set(
      name,
      this.options.clock.after(ms, () => {
        this.timers.delete(name);
        run();
      }),
    );
  }
}
