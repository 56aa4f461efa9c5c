import type { IpAddress } from '@gwctl/shared/domain/ip';
import type { Clock, Random, Timer } from '../clock.js';
import type { Health } from '../planner/types.js';
import { Line, type Rank } from './line.js';
import type { Prober } from './prober.js';
import { type Next, TargetState } from './target-state.js';

/** Milliseconds from one probe of a target to the next, at least and at most, so that targets drift apart. */
const URGENT_INTERVAL = { least: 4000, most: 5000 };
const CALM_INTERVAL = { least: 30_000, most: 36_000 };

/** Somebody to be probed. */
export interface ProbeTarget {
  readonly address: IpAddress;
  readonly port: number;
  /** One of several targets: its health decides about rotation. */
  readonly urgent: boolean;
}

export interface HealthBookOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly prober: Prober;
}

interface Entry {
  readonly key: string;
  readonly address: IpAddress;
  readonly port: number;
  readonly state: TargetState;
  urgent: boolean;
  timer?: Timer | undefined;
  /** What waits in line for it; an older ticket is void. */
  ticket?: Ticket | undefined;
}

interface Ticket {
  readonly entry: Entry;
}

/** Knows which targets are up, by connecting to them now and then. */
export class HealthBook {
  readonly #options: HealthBookOptions;
  readonly #line: Line<Ticket>;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<() => void>();
  #wanted: readonly ProbeTarget[] | undefined;
  #running = false;

  constructor(options: HealthBookOptions) {
    this.#options = options;
    this.#line = new Line({
      clock: options.clock,
      probe: ({ entry }) => this.#probe(entry),
      matters: (ticket) => ticket.entry.ticket === ticket,
    });
  }

  /** Probes in the background from now on. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    for (const entry of this.#entries.values()) this.#enter(entry, entry.urgent ? 'urgent' : 'soon');
  }

  /** Probes no more; what is known stays to be seen. */
  stop(): void {
    this.#running = false;
    for (const entry of this.#entries.values()) this.#rest(entry);
    this.#line.clear();
  }

  /** Says who is to be probed. Who is named more than once is probed once, as often as the most urgent needs it. */
  want(targets: readonly ProbeTarget[]): void {
    if (targets === this.#wanted) return;
    this.#wanted = targets;
    const wanted = new Map<string, ProbeTarget>();
    for (const target of targets) {
      const key = keyOf(target.address, target.port);
      if (target.urgent || !wanted.has(key)) wanted.set(key, target);
    }
    for (const entry of this.#entries.values()) if (!wanted.has(entry.key)) this.#forget(entry);
    for (const [key, target] of wanted) this.#keep(key, target);
  }

  /** The same object for as long as it says the same; undefined for who is not wanted. */
  view(address: IpAddress, port: number): Health | undefined {
    return this.#entries.get(keyOf(address, port))?.state.health;
  }

  /**
   * Has `listener` called when a target's state changed, or trouble came or went; not for round-trip times. Returns how to end that.
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #keep(key: string, { address, port, urgent }: ProbeTarget): void {
    const known = this.#entries.get(key);
    if (!known) {
      const entry: Entry = { key, address, port, urgent, state: new TargetState() };
      this.#entries.set(key, entry);
      this.#enter(entry, urgent ? 'urgent' : 'soon');
      return;
    }
    const before = known.urgent;
    known.urgent = urgent;
    // What it was may be half a minute old by now, and suddenly decides. One that is being probed comes round by itself.
    if (urgent && !before && (known.timer || known.ticket)) this.#enter(known, rankOf(known));
  }

  #forget(entry: Entry): void {
    this.#rest(entry);
    this.#entries.delete(entry.key);
  }

  #rest(entry: Entry): void {
    entry.timer?.cancel();
    entry.timer = undefined;
    entry.ticket = undefined;
  }

  #enter(entry: Entry, rank: Rank): void {
    this.#rest(entry);
    if (!this.#running) return;
    entry.ticket = { entry };
    this.#line.add(rank, entry.ticket);
  }

  async #probe(entry: Entry): Promise<void> {
    const { clock, prober } = this.#options;
    entry.ticket = undefined;
    const began = clock.monotonic();
    const outcome = await prober.probe(entry.address, entry.port);
    if (!this.#running || this.#entries.get(entry.key) !== entry || entry.ticket) return;
    const before = entry.state.health;
    const next = entry.state.record(outcome, clock.monotonic());
    this.#plan(entry, next, clock.monotonic() - began);
    const after = entry.state.health;
    if (before.state !== after.state || (before.trouble === undefined) !== (after.trouble === undefined)) this.#tell();
  }

  /** Times are from the beginning of one probe to that of the next: a target that lets a probe wait is not doubted more slowly. */
  #plan(entry: Entry, next: Next, took: number): void {
    const { clock, random } = this.#options;
    const { least, most } = entry.urgent ? URGENT_INTERVAL : CALM_INTERVAL;
    const interval = next === 'usual' ? least + random() * (most - least) : next;
    const rank = next === 'usual' || entry.urgent ? rankOf(entry) : 'soon';
    entry.timer?.cancel();
    entry.timer = clock.after(Math.max(0, interval - took), () => this.#enter(entry, rank));
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

function rankOf({ urgent, state }: Entry): Rank {
  if (!urgent) return 'calm';
  return state.health.state === 'unhealthy' ? 'sick' : 'urgent';
}

const keyOf = (address: IpAddress, port: number) => `${address.text} ${port}`;
