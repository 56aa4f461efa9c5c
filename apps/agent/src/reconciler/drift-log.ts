import type { Drift } from '@gwctl/shared/domain/status';
import type { DriftFound } from '../drivers/driver.js';
import type { AgentEvent } from './placement-status.js';

/** Forwards that get an event of their own when something drifts that all share; the rest is counted in the gateway's event. */
const MAX_NAMED = 20;

export interface DriftLogOptions {
  readonly clock: { now(): number };
  /** `forward gitbucket-ssh`, for people. */
  readonly nameOf: (uid: string) => string;
}

/** Remembers what drifted, and says it: one event per forward when it is found, one when it is repaired. */
export class DriftLog {
  private readonly byUid = new Map<string, Drift>();
  private open: { readonly uid?: string; readonly drift: Drift }[] = [];

  constructor(private readonly options: DriftLogOptions) {}

  get uids(): Iterable<string> {
    return this.byUid.keys();
  }

  /** Whether something drifted and is not repaired. */
  get isOpen(): boolean {
    return this.open.length > 0;
  }

  /** The last drift of a forward, repaired or not. */
  of(uid: string): Drift | undefined {
    return this.byUid.get(uid);
  }

  /** Notes what a driver found; `carried` are the forwards that an object which all share concerns. */
  detected(found: readonly DriftFound[], carried: readonly string[], process: string | undefined): AgentEvent[] {
    const time = this.options.clock.now();
    const concerned = new Map<string, Drift[]>();
    const shared: Drift[] = [];
    for (const { forwards, drift: raw } of found) {
      const drift = process === undefined || raw.process !== undefined ? raw : { ...raw, process };
      if (forwards.length === 0) shared.push(drift);
      for (const uid of forwards) concerned.set(uid, [...(concerned.get(uid) ?? []), drift]);
    }
    if (shared.length > 0) for (const uid of carried) concerned.set(uid, [...(concerned.get(uid) ?? []), ...shared]);
    const noted = [...concerned].map(([uid, drifts]) => ({ uid, drift: merged(drifts, time) }));
    for (const { uid, drift } of noted) this.byUid.set(uid, drift);
    const own = noted.slice(0, MAX_NAMED);
    this.open = own;
    if (shared.length > 0 && (noted.length === 0 || noted.length > MAX_NAMED))
      this.open = [{ drift: merged(shared, time) }, ...own];
    const unnamed = noted.length - own.length;
    return this.open.map(({ uid, drift }) => ({
      time,
      ...(uid === undefined ? {} : { uid }),
      reason: 'DRIFT_DETECTED',
      message: this.sentence(uid, drift, uid === undefined ? unnamed : 0),
      drift,
    }));
  }

  /** Everything that was found is as it should be again. */
  repaired(): AgentEvent[] {
    const time = this.options.clock.now();
    const events = this.open.map(({ uid, drift }): AgentEvent => {
      const repaired = { ...drift, repaired: time };
      return {
        time,
        ...(uid === undefined ? {} : { uid }),
        reason: 'DRIFT_REPAIRED',
        message: `${this.subject(uid)}${drift.object} is as it should be again, ${time - drift.detected} ms after the drift was found`,
        drift: repaired,
      };
    });
    this.open = [];
    for (const [uid, drift] of this.byUid) if (drift.repaired === undefined) this.byUid.set(uid, { ...drift, repaired: time });
    return events;
  }

  /** Forgets the forwards that are gone. */
  keep(uids: { has(uid: string): boolean }): void {
    for (const uid of this.byUid.keys()) if (!uids.has(uid)) this.byUid.delete(uid);
  }

  private sentence(uid: string | undefined, drift: Drift, unnamed: number): string {
    const by = drift.process === undefined ? '' : `, changed by ${drift.process}`;
    const more = unnamed > 0 ? `; it concerns ${unnamed} more forwards than have an event of their own` : '';
    return `${this.subject(uid)}${drift.object} ${drift.cause}: ${drift.message}${by}${more}`;
  }

  private subject(uid: string | undefined): string {
    return uid === undefined ? '' : `${this.options.nameOf(uid)}: `;
  }
}

/** One drift for a forward of which several objects drifted: the first, with the others named. */
function merged(drifts: readonly Drift[], detected: number): Drift {
  const [first, ...others] = drifts;
  if (!first) throw new Error('no drift to merge');
  const more =
    others.length === 0
      ? ''
      : ` (and ${others
          .map((d) => `${d.object} ${d.cause}`)
          .slice(0, 5)
          .join(', ')}${others.length > 5 ? ', ...' : ''})`;
  return { ...first, message: `${first.message}${more}`, detected };
}
