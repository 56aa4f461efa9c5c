import type { PlacementReport } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import type { Clock, Random, Timer } from '../clock.js';
import type { Held } from '../desired/types.js';
import { type Changes, changesOf, SortedList } from '../planner/sorted-list.js';
import type { AgentEvent, PlacementStatus } from '../reconciler/placement-status.js';
import type { Conditions } from '../status/conditions.js';
import { accepted, applied, eventReport, type Outbound, placementReport, reportWeight, statusReport } from './mapper.js';
import { Pace } from './pace.js';

/** Placements in one message weigh at most this; a message may be 1 MiB. */
const CHUNK_BYTES = 512 * 1024;
/** Events kept while nobody takes them; the oldest go first. */
const MAX_EVENTS = 1_000;
/** What is no verdict (a drift's repair, an address) waits up to this long for company, milliseconds. */
const MINOR_DELAY = 2_000;

/** What the reconciler found, as the control plane is to hear it. */
export interface Found {
  readonly statuses: SortedList<PlacementStatus>;
  /** The revision that the host now matches, read back. */
  readonly applied: { readonly epoch: string; readonly revision: number } | undefined;
  /** Uids of which the status is another than in the report before, or gone. Undefined: maybe any. */
  readonly changed?: ReadonlySet<string>;
}

export interface OutboxOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly conditions: Conditions;
  /** What is on the disk. */
  readonly persisted: () => Held | undefined;
}

/**
 * What the control plane has yet to hear. Messages are made when there is room for them, from how things are then: a slow control
 * plane costs a cursor and not a queue. Only events queue, and only so many.
 */
export class Outbox {
  private found: Found | undefined;
  /** The session's epoch, once it takes reports. */
  private session: string | undefined;
  /** What this session has heard. */
  private reported = SortedList.empty<PlacementStatus>();
  private urgent = new Set<string>();
  private minor = new Set<string>();
  private acceptedSent = 0;
  private appliedSent = 0;
  private completeSent = false;
  private conditionsSent = false;
  private events: AgentEvent[] = [];
  private dropped = 0;
  private minorDue = false;
  private timer: Timer | undefined;
  private wake: () => void = () => undefined;
  private readonly pace: Pace;

  constructor(private readonly options: OutboxOptions) {
    this.pace = new Pace({ clock: options.clock, burst: 50, perSecond: 20 });
    options.conditions.onChange(() => {
      this.conditionsSent = false;
      this.wake();
    });
  }

  /** The reconciler's word. */
  report(found: Found): void {
    this.found = found;
    this.compare(found);
    this.wake();
  }

  event(event: AgentEvent): void {
    this.events.push(event);
    if (this.events.length > MAX_EVENTS) {
      this.events.shift();
      this.dropped++;
    }
    this.wake();
  }

  /** Something that {@link OutboxOptions.persisted} answers has changed. */
  poke(): void {
    this.wake();
  }

  /** A session takes reports from now on. It has heard nothing yet but the revisions of its Hello. */
  begin(epoch: string, hello: { readonly accepted: number; readonly applied: number }): void {
    this.session = epoch;
    this.reported = SortedList.empty();
    this.urgent = new Set();
    this.minor = new Set();
    this.acceptedSent = hello.accepted;
    this.appliedSent = hello.applied;
    this.completeSent = false;
    this.conditionsSent = false;
    this.wake();
  }

  /** A whole snapshot was taken: what was said of revisions before does not speak of it. */
  rewind(): void {
    this.acceptedSent = -1;
    this.appliedSent = -1;
    this.wake();
  }

  end(): void {
    this.session = undefined;
    this.timer?.cancel();
    this.timer = undefined;
    this.wake();
  }

  /** Resolves when {@link next} may have something, or at once when told so by what came since. */
  woken(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = () => {
        this.wake = () => undefined;
        resolve();
      };
    });
  }

  /** The next message, undefined while there is none. */
  next(): Outbound | undefined {
    if (this.session === undefined) return undefined;
    return (
      this.nextAccepted() ??
      this.nextComplete() ??
      this.nextApplied() ??
      this.nextStatus() ??
      this.nextConditions() ??
      this.nextEvent()
    );
  }

  private nextAccepted(): Outbound | undefined {
    const held = this.options.persisted();
    if (!held || held.epoch !== this.session || held.revision <= this.acceptedSent) return undefined;
    this.acceptedSent = held.revision;
    return accepted(held);
  }

  private nextComplete(): Outbound | undefined {
    if (this.completeSent || !this.found) return undefined;
    this.completeSent = true;
    this.urgent = new Set(this.found.statuses.map((s) => s.uid));
    this.minor = new Set();
    return statusReport({ placements: this.take(this.urgent).reports, complete: true, revision: this.revision });
  }

  private nextApplied(): Outbound | undefined {
    const done = this.found?.applied;
    if (!done || done.epoch !== this.session || done.revision <= this.appliedSent) return undefined;
    // The last part says that it was the last: until then the revision does not count as applied.
    const first = this.take(this.urgent);
    if (first.more) return statusReport({ placements: first.reports, revision: this.revision });
    const rest = this.take(this.minor);
    const reports = [...first.reports, ...rest.reports];
    if (rest.more) return statusReport({ placements: reports, revision: this.revision });
    this.appliedSent = done.revision;
    return applied(done.epoch, done.revision, reports);
  }

  private nextStatus(): Outbound | undefined {
    if (this.minorDue) {
      for (const uid of this.minor) this.urgent.add(uid);
      this.minor.clear();
      this.minorDue = false;
    }
    if (this.urgent.size === 0) return undefined;
    return statusReport({ placements: this.take(this.urgent).reports, revision: this.revision });
  }

  private nextConditions(): Outbound | undefined {
    if (this.conditionsSent) return undefined;
    this.conditionsSent = true;
    return statusReport({ conditions: this.options.conditions.list(), revision: this.revision });
  }

  private nextEvent(): Outbound | undefined {
    if (this.events.length === 0) return undefined;
    if (!this.pace.take(() => this.wake())) return undefined;
    if (this.dropped > 0) {
      const message = `${this.dropped} earlier events were dropped while the control plane took none`;
      this.dropped = 0;
      return eventReport({ time: this.options.clock.now(), reason: 'EVENTS_DROPPED', message });
    }
    const event = this.events.shift();
    return event && eventReport(event);
  }

  private get revision(): number {
    return this.found?.applied?.revision ?? 0;
  }

  /** Takes as many of `uids` as one message holds; they count as heard. */
  private take(uids: Set<string>): { reports: PlacementReport[]; more: boolean } {
    const reports: PlacementReport[] = [];
    const heard: PlacementStatus[] = [];
    let bytes = 0;
    for (const uid of uids) {
      uids.delete(uid);
      const status = this.found?.statuses.get(uid);
      if (!status) continue;
      bytes += reportWeight(status);
      reports.push(placementReport(status, this.revision));
      heard.push(status);
      if (bytes > CHUNK_BYTES) break;
    }
    this.reported = this.reported.with({ gone: [], come: heard });
    return { reports, more: uids.size > 0 };
  }

  private compare({ statuses, changed }: Found): void {
    if (this.session === undefined) return;
    const left: { readonly uid: string }[] = [];
    for (const uid of changed ?? uidsOf(changesOf(this.reported, statuses))) {
      const status = statuses.get(uid);
      const old = this.reported.get(uid);
      if (status === undefined || old === status) {
        this.urgent.delete(uid);
        this.minor.delete(uid);
      } else if (old && sameVerdict(old, status)) this.minor.add(uid);
      else this.urgent.add(uid);
      // Of what is gone nothing is said: that the revision is applied says it.
      if (status === undefined) left.push({ uid });
    }
    this.reported = this.reported.with({ gone: left, come: [] });
    if (this.minor.size > 0 && this.timer === undefined) {
      this.timer = this.options.clock.after(this.options.random() * MINOR_DELAY, () => {
        this.timer = undefined;
        this.minorDue = true;
        this.wake();
      });
    }
  }
}

const uidsOf = ({ gone, come }: Changes<PlacementStatus>): ReadonlySet<string> => new Set([...gone, ...come].map((s) => s.uid));

/** Whether two statuses of a forward say the same about how it stands. */
function sameVerdict(a: PlacementStatus, b: PlacementStatus): boolean {
  return (
    a.generation === b.generation &&
    a.state === b.state &&
    a.driver === b.driver &&
    a.violations === b.violations &&
    a.conditions === b.conditions
  );
}
