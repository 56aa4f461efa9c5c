import type { Listener } from '@gwctl/shared/domain/forward';
import { formatCidr } from '@gwctl/shared/domain/ip';
import type { Violation } from '@gwctl/shared/domain/result';
import type { Condition, Counters, Drift, PlacementStateWord } from '@gwctl/shared/domain/status';
import type { DriverName } from '../drivers/driver.js';
import { changesOf, SortedList } from '../planner/sorted-list.js';
import type { Health, Judgement, PlacedEgress, TargetView, Verdict } from '../planner/types.js';
import type { PlacementStatus } from './placement-status.js';

/** What speaks of one placement beyond its verdict. */
export interface Circumstances {
  /** It is not as wanted on the host, and why. */
  readonly notApplied?: { readonly reason?: string; readonly message: string };
  /** The driver refused this very forward; what it had before, if anything, is still in place. */
  readonly quarantined?: { readonly message: string; readonly older: boolean };
  /** Somebody keeps undoing it, or has undone it and nothing is to be repaired. */
  readonly undone?: { readonly reason: 'CONTESTED' | 'DRIFT_NOT_REPAIRED'; readonly message: string };
  readonly drift?: Drift;
  readonly counters?: Counters;
  /** What the driver found of this placement, none of it good. */
  readonly findings?: readonly FoundCondition[];
  /** What connections showed of its targets, by `ADDRESS PORT`. */
  readonly targets?: ReadonlyMap<string, Health>;
}

/** A condition that a driver found. `instead`: the placement could not be made as wanted, and what is there in its place. */
export type FoundCondition = Omit<Condition, 'since'> & { readonly instead?: 'older' | 'nothing' };

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
  readonly statuses: SortedList<PlacementStatus>;
  /** Uids of which the status is another than last time, or gone. */
  readonly changed: ReadonlySet<string>;
}

type Fields = { readonly [K in keyof Required<PlacementStatus>]: PlacementStatus[K] };

/** There are tens of thousands: a class has room for fields that are not always there where a literal would need a second object. */
class Status implements PlacementStatus {
  readonly uid: string;
  readonly generation: number;
  readonly name: string;
  readonly state: PlacementStateWord;
  declare readonly driver?: DriverName;
  declare readonly listen?: Listener;
  declare readonly egress?: string;
  readonly targets: readonly TargetView[];
  declare readonly counters?: Counters;
  declare readonly drift?: Drift;
  readonly conditions: readonly Condition[];
  readonly violations: readonly Violation[];
  readonly clientAddress: string;

  constructor(is: Fields) {
    this.uid = is.uid;
    this.generation = is.generation;
    this.name = is.name;
    this.state = is.state;
    this.targets = is.targets;
    this.conditions = is.conditions;
    this.violations = is.violations;
    this.clientAddress = is.clientAddress;
    if (is.driver !== undefined) this.driver = is.driver;
    if (is.listen) this.listen = is.listen;
    if (is.egress !== undefined) this.egress = is.egress;
    if (is.counters) this.counters = is.counters;
    if (is.drift) this.drift = is.drift;
  }
}

/** Turns judgements into statuses, and keeps the object where nothing changed, so that "changed" is a comparison of references. */
export class Placements {
  /** What is to be said of those that are not simply well. */
  private readonly kept = new Map<string, Finding>();
  /** What all say that are simply well since the same moment. */
  private well: readonly Condition[] = [];
  private statuses = SortedList.empty<PlacementStatus>();
  private judgements = SortedList.empty<Judgement>();
  private concerned: Situation['concerned'] = new Set();

  constructor(private readonly options: { readonly driver: DriverName; readonly clock: { now(): number } }) {}

  /** Costs as much as changed since last time. */
  build(judgements: SortedList<Judgement>, situation: Situation): Built {
    const changed = new Set<string>();
    const come: PlacementStatus[] = [];
    for (const due of this.due(judgements, situation, changed)) {
      const { uid } = due.judgement;
      const before = this.statuses.get(uid);
      const status = this.settled(due, situation.of(uid), before);
      if (status === before) continue;
      come.push(status);
      changed.add(uid);
    }
    this.statuses = this.statuses.with({ gone: [], come });
    this.judgements = judgements;
    this.concerned = situation.concerned;
    return { statuses: this.statuses, changed };
  }

  /** What has to be looked at. Forgets those that are gone, and says that they changed. */
  private due(judgements: SortedList<Judgement>, { concerned }: Situation, changed: Set<string>): readonly Due[] {
    const before = this.judgements;
    const all = concerned === 'all' || this.concerned === 'all';
    const special = all ? new Set<string>() : new Set([...concerned, ...this.concerned]);
    const { gone, come } = changesOf(before, judgements);
    const due = come.map((judgement): Due => ({ judgement, known: false }));
    const stay = new Set(come.map((j) => j.uid));
    const left = gone.filter(({ uid }) => !stay.has(uid));
    for (const { uid } of left) {
      this.kept.delete(uid);
      changed.add(uid);
    }
    this.statuses = this.statuses.with({ gone: left, come: [] });
    if (all || special.size > 0) {
      const listed = new Set(due.map((d) => d.judgement));
      const others = all ? judgements : [...special].flatMap((uid) => judgements.get(uid) ?? []);
      for (const judgement of others) if (!listed.has(judgement)) due.push({ judgement, known: true });
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
      (is.targets === undefined || sameHealth(judgement.verdict, is.targets, old.targets)) &&
      sameCounters(old.counters, is.counters);
    if (finding === WELL) this.kept.delete(uid);
    else this.kept.set(uid, finding);
    return same ? old : this.status(judgement, finding, is, old);
  }

  private status(judgement: Judgement, finding: Finding, is: Circumstances, old?: PlacementStatus): PlacementStatus {
    const { uid, generation, name, spec, verdict } = judgement;
    const conditions = this.conditions(finding, old);
    const forwarded = verdict.kind === 'place' || verdict.kind === 'relay' ? verdict : undefined;
    const kernel = verdict.kind === 'place' || verdict.kind === 'place-egress' ? this.options.driver : undefined;
    return new Status({
      uid,
      generation,
      name,
      state: finding.state,
      driver: verdict.kind === 'relay' ? 'relay' : kernel,
      listen: spec?.listen,
      egress: verdict.kind === 'place-egress' ? egressText(verdict.egress) : undefined,
      targets: felt(forwarded?.targets ?? NO_TARGETS, is.targets, old?.targets),
      counters: is.counters,
      drift: is.drift,
      // The same lists where only the drift is new: that is no other verdict.
      conditions: old && sameConditions(old.conditions, conditions) ? old.conditions : conditions,
      violations: old && sameViolations(old.violations, finding.violations) ? old.violations : finding.violations,
      clientAddress: forwarded?.clientAddress ?? '',
    });
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
      const facts = verdict.kind === 'relay' ? [carrier(verdict)] : [];
      if (remarks.length === 0)
        return facts.length === 0 ? WELL : { state: 'ACTIVE', conditions: [...facts, APPLIED], violations: [] };
      return { state: 'DEGRADED', conditions: [...remarks, ...facts, APPLIED], violations: contended?.violations ?? [] };
    }
  }
}

/** That the relay carries it, and why: no trouble, but what people ask first. */
const carrier = ({ reason, because }: Verdict & { readonly kind: 'relay' }) =>
  ({ type: 'Carrier', status: 'true', reason, message: `the relay carries it: ${because}` }) as const;

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
  const notMade = is.findings?.find((f) => f.instead !== undefined);
  if (notMade) {
    const { instead, ...condition } = notMade;
    const older = instead === 'older';
    return {
      state: older ? 'DEGRADED' : 'REJECTED',
      conditions: [older ? { ...condition, message: `${condition.message}; what it was before is still in place` } : condition],
      violations: [{ field: 'spec.listen', description: condition.message }],
    };
  }
  const degraded = (condition: Omit<Condition, 'since'>): Finding => ({
    state: 'DEGRADED',
    conditions: [condition],
    violations: [],
  });
  if (is.notApplied) return degraded(bad('Applied', is.notApplied.reason ?? 'APPLY_FAILED', is.notApplied.message));
  if (is.undone) return degraded(bad('DriftFree', is.undone.reason, is.undone.message));
  return undefined;
}

/** The targets with what connections showed of those that nobody else knows of. The same list where that is nothing new. */
function felt(
  targets: readonly TargetView[],
  health: Circumstances['targets'],
  old: readonly TargetView[] | undefined,
): readonly TargetView[] {
  if (!health) return targets;
  const now = targets.map((t) => {
    const found = t.health && t.health.state !== 'unknown' ? undefined : health.get(`${t.address} ${t.port}`);
    return found ? { ...t, health: found } : t;
  });
  return old && sameTargets(old, now) ? old : now;
}

const sameHealth = (verdict: Verdict, health: Circumstances['targets'], old: readonly TargetView[]): boolean =>
  (verdict.kind !== 'relay' && verdict.kind !== 'place') || felt(verdict.targets, health, old) === old;

/** How long a connection took varies with each and is no news. */
const sameTargets = (a: readonly TargetView[], b: readonly TargetView[]): boolean =>
  a.length === b.length &&
  a.every((t, i) => {
    const u = b[i];
    return (
      u?.address === t.address &&
      u.port === t.port &&
      u.host === t.host &&
      u.health?.state === t.health?.state &&
      u.health?.trouble === t.health?.trouble
    );
  });

const NO_TARGETS: readonly TargetView[] = [];
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
