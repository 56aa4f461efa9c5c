import { formatCidr } from '@gwctl/shared/domain/ip';
import type { Violation } from '@gwctl/shared/domain/result';
import type { Condition, Counters, Drift, PlacementStateWord } from '@gwctl/shared/domain/status';
import type { DriverName } from '../drivers/driver.js';
import { changesOf } from '../planner/sorted.js';
import type { Judgement, PlacedEgress } from '../planner/types.js';
import type { PlacementStatus } from './placement-status.js';

/** What speaks of one placement beyond its verdict. */
export interface Circumstances {
  /** It is not as wanted on the host, and why. */
  readonly notApplied?: { readonly message: string };
  /** The driver refused this very forward; what it had before, if anything, is still in place. */
  readonly quarantined?: { readonly message: string; readonly older: boolean };
  /** Somebody keeps undoing it, or has undone it and nothing is to be repaired. */
  readonly undone?: { readonly reason: 'CONTESTED' | 'DRIFT_NOT_REPAIRED'; readonly message: string };
  readonly drift?: Drift;
  readonly counters?: Counters;
  /** What the driver found of this placement, none of it good. */
  readonly findings?: readonly Omit<Condition, 'since'>[];
}

/** What speaks of which placements. */
export interface Situation {
  of(uid: string): Circumstances;
  /** Of all others nothing is to be said. */
  readonly concerned: ReadonlySet<string> | 'all';
}

interface Finding {
  readonly state: PlacementStateWord;
  readonly conditions: readonly Omit<Condition, 'since'>[];
  readonly violations: readonly Violation[];
}

interface Due {
  readonly judgement: Judgement;
  readonly known: boolean;
}

/** What a {@link Placements.build} came to. */
export interface Built {
  /** The same map each time, as it is now. */
  readonly statuses: ReadonlyMap<string, PlacementStatus>;
  /** Uids of which the status is another than last time, or gone. */
  readonly changed: ReadonlySet<string>;
}

/** Turns judgements into statuses, and keeps the object where nothing changed, so that "changed" is a comparison of references. */
export class Placements {
  /** What is to be said of those that are not simply well. */
  private readonly kept = new Map<string, Finding>();
  /** What all say that are simply well since the same moment. */
  private well: readonly Condition[] = [];
  private readonly statuses = new Map<string, PlacementStatus>();
  private judgements: readonly Judgement[] = [];
  private concerned: Situation['concerned'] = new Set();

  constructor(private readonly options: { readonly driver: DriverName; readonly clock: { now(): number } }) {}

  /** `judgements` in order of uid. Costs as much as changed since last time. */
  build(judgements: readonly Judgement[], situation: Situation): Built {
    const changed = new Set<string>();
    for (const due of this.due(judgements, situation, changed)) {
      const { uid } = due.judgement;
      const before = this.statuses.get(uid);
      const status = this.settled(due, situation.of(uid), before);
      if (status === before) continue;
      this.statuses.set(uid, status);
      changed.add(uid);
    }
    this.judgements = judgements;
    this.concerned = situation.concerned;
    return { statuses: this.statuses, changed };
  }

  /** What has to be looked at. Forgets those that are gone, and says that they changed. */
  private due(judgements: readonly Judgement[], { concerned }: Situation, changed: Set<string>): readonly Due[] {
    const before = this.judgements;
    const all = concerned === 'all' || this.concerned === 'all';
    const special = all ? new Set<string>() : new Set([...concerned, ...this.concerned]);
    const { gone, come } = changesOf(before, judgements);
    const due = come.map((judgement): Due => ({ judgement, known: false }));
    const stay = new Set(come.map((j) => j.uid));
    for (const { uid } of gone) {
      if (stay.has(uid)) continue;
      this.kept.delete(uid);
      this.statuses.delete(uid);
      changed.add(uid);
    }
    if (all || special.size > 0) {
      const listed = new Set(due.map((d) => d.judgement));
      for (const judgement of judgements)
        if ((all || special.has(judgement.uid)) && !listed.has(judgement)) due.push({ judgement, known: true });
    }
    return due;
  }

  /** `known`: the judgement is that of last time. */
  private settled({ judgement, known }: Due, is: Circumstances, old: PlacementStatus | undefined): PlacementStatus {
    const { uid } = judgement;
    const finding = find(judgement, is);
    const before = this.kept.get(uid);
    const same =
      old !== undefined &&
      known &&
      (finding === WELL ? before === undefined : before !== undefined && sameFinding(before, finding)) &&
      old.drift === is.drift &&
      sameCounters(old.counters, is.counters);
    if (finding === WELL) this.kept.delete(uid);
    else this.kept.set(uid, finding);
    return same ? old : this.status(judgement, finding, is, old);
  }

  private status(judgement: Judgement, finding: Finding, is: Circumstances, old?: PlacementStatus): PlacementStatus {
    const { uid, generation, name, spec, verdict } = judgement;
    const conditions = this.conditions(finding, old);
    const placed = verdict.kind === 'place' || verdict.kind === 'place-egress';
    const forwarded = verdict.kind === 'place' || verdict.kind === 'relay' ? verdict : undefined;
    return {
      uid,
      generation,
      name,
      state: finding.state,
      ...(verdict.kind === 'relay' ? { driver: 'relay' } : placed ? { driver: this.options.driver } : {}),
      ...(spec ? { listen: spec.listen } : {}),
      ...(verdict.kind === 'place-egress' ? { egress: egressText(verdict.egress) } : {}),
      targets: forwarded?.targets ?? [],
      ...(is.counters ? { counters: is.counters } : {}),
      ...(is.drift ? { drift: is.drift } : {}),
      // The same lists where only the drift is new: that is no other verdict.
      conditions: old && sameConditions(old.conditions, conditions) ? old.conditions : conditions,
      violations: old && sameViolations(old.violations, finding.violations) ? old.violations : finding.violations,
      clientAddress: forwarded?.clientAddress ?? '',
    };
  }

  private conditions(finding: Finding, old: PlacementStatus | undefined): readonly Condition[] {
    const now = this.options.clock.now();
    if (finding === WELL && old === undefined) {
      if (this.well[0]?.since !== now) this.well = [{ ...APPLIED, since: now }];
      return this.well;
    }
    return finding.conditions.map((c): Condition => {
      const before = old?.conditions.find((o) => o.type === c.type && o.status === c.status && o.reason === c.reason);
      return { ...c, since: before?.since ?? now };
    });
  }
}

function find({ verdict, contended }: Judgement, is: Circumstances): Finding {
  const fine = { violations: [], conditions: [] };
  switch (verdict.kind) {
    case 'disabled':
      return { ...fine, state: 'DISABLED' };
    case 'expired':
      return { ...fine, state: 'EXPIRED' };
    case 'reject':
      return {
        state: 'REJECTED',
        conditions: [bad('Accepted', verdict.reason, sentence(verdict.violations))],
        violations: verdict.violations,
      };
    case 'wait':
      return { ...fine, state: 'DEGRADED', conditions: [...verdict.remarks, NOT_YET] };
    case 'place':
    case 'relay':
    case 'place-egress': {
      const broken = undone(is);
      if (broken) return broken;
      const remarks = [
        ...(verdict.kind === 'place-egress' ? [] : verdict.remarks),
        ...(is.findings ?? []),
        ...(contended ? [bad('ListenerFree', contended.reason, sentence(contended.violations))] : []),
      ];
      if (remarks.length === 0) return WELL;
      return { state: 'DEGRADED', conditions: [...remarks, APPLIED], violations: contended?.violations ?? [] };
    }
  }
}

/** What keeps a placement that is wanted from being as wanted on the host. */
function undone(is: Circumstances): Finding | undefined {
  if (is.quarantined) {
    const { message, older } = is.quarantined;
    return {
      state: older ? 'DEGRADED' : 'REJECTED',
      conditions: [bad('Applied', 'APPLY_FAILED', older ? `${message}; what it was before is still in place` : message)],
      violations: [{ field: 'spec', description: message }],
    };
  }
  const degraded = (condition: Omit<Condition, 'since'>): Finding => ({
    state: 'DEGRADED',
    conditions: [condition],
    violations: [],
  });
  if (is.notApplied) return degraded(bad('Applied', 'APPLY_FAILED', is.notApplied.message));
  if (is.undone) return degraded(bad('DriftFree', is.undone.reason, is.undone.message));
  return undefined;
}

const egressText = ({ sources, outInterface }: PlacedEgress) => `${sources.map(formatCidr).join(', ')} out of ${outInterface}`;

const APPLIED = { type: 'Applied', status: 'true', reason: 'APPLIED', message: 'in place, read back' } as const;
const WELL: Finding = { state: 'ACTIVE', conditions: [APPLIED], violations: [] };
const NOT_YET = {
  type: 'Applied',
  status: 'false',
  reason: 'NO_TARGET',
  message: 'nothing is forwarded until a target has an address',
} as const;

const bad = (type: string, reason: string, message: string) => ({ type, status: 'false', reason, message }) as const;

const sentence = (violations: readonly Violation[]): string => violations.map((v) => `${v.field}: ${v.description}`).join('; ');

const sameFinding = (a: Finding, b: Finding): boolean =>
  a.state === b.state && sameConditions(a.conditions, b.conditions) && sameViolations(a.violations, b.violations);

const sameConditions = (a: readonly Omit<Condition, 'since'>[], b: readonly Omit<Condition, 'since'>[]): boolean =>
  a.length === b.length &&
  a.every((c, i) => {
    const d = b[i];
    return c.type === d?.type && c.status === d.status && c.reason === d.reason && c.message === d.message;
  });

const sameViolations = (a: readonly Violation[], b: readonly Violation[]): boolean =>
  a.length === b.length && a.every((v, i) => v.field === b[i]?.field && v.description === b[i]?.description);

const sameCounters = (a: Counters | undefined, b: Counters | undefined): boolean =>
  a === b || (a?.packets === b?.packets && a?.bytes === b?.bytes && a?.flows === b?.flows && a?.refused === b?.refused);
