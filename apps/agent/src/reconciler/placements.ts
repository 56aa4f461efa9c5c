import type { Violation } from '@gwctl/shared/domain/result';
import type { Condition, Drift, PlacementStateWord } from '@gwctl/shared/domain/status';
import { formatHost } from '@gwctl/shared/wire/traffic-spec';
import type { DriverName } from '../drivers/driver.js';
import type { Judgement } from './judge.js';
import type { PlacementStatus } from './placement-status.js';

/** What speaks of one forward beyond its verdict. */
export interface Circumstances {
  /** It is not as wanted on the host, and why. */
  readonly notApplied?: { readonly message: string };
  /** The driver refused this very forward; what it had before, if anything, is still in place. */
  readonly quarantined?: { readonly message: string; readonly older: boolean };
  /** Somebody keeps undoing it, and this agent has stopped fighting. */
  readonly contested?: { readonly message: string };
  readonly drift?: Drift;
}

interface Finding {
  readonly state: PlacementStateWord;
  readonly conditions: readonly Omit<Condition, 'since'>[];
  readonly violations: readonly Violation[];
}

/** Turns judgements into statuses, and keeps the object where nothing changed, so that "changed" is a comparison of references. */
export class Placements {
  private last = new Map<
    string,
    { readonly judgement: Judgement; readonly finding: Finding; readonly status: PlacementStatus }
  >();

  constructor(private readonly options: { readonly driver: DriverName; readonly clock: { now(): number } }) {}

  build(judgements: readonly Judgement[], of: (uid: string) => Circumstances): ReadonlyMap<string, PlacementStatus> {
    const next: typeof this.last = new Map();
    const statuses = new Map<string, PlacementStatus>();
    for (const judgement of judgements) {
      const { uid } = judgement;
      const circumstances = of(uid);
      const finding = find(judgement, circumstances);
      const old = this.last.get(uid);
      const same = old && sameJudgement(old.judgement, judgement) && sameFinding(old.finding, finding);
      const status =
        same && old.status.drift === circumstances.drift
          ? old.status
          : this.status(judgement, finding, circumstances, old?.status);
      next.set(uid, { judgement, finding, status });
      statuses.set(uid, status);
    }
    this.last = next;
    return statuses;
  }

  private status(judgement: Judgement, finding: Finding, { drift }: Circumstances, old?: PlacementStatus): PlacementStatus {
    const { uid, generation, name, spec, verdict } = judgement;
    const now = this.options.clock.now();
    const conditions = finding.conditions.map((c): Condition => {
      const before = old?.conditions.find((o) => o.type === c.type && o.status === c.status && o.reason === c.reason);
      return { ...c, since: before?.since ?? now };
    });
    return {
      uid,
      generation,
      name,
      state: finding.state,
      ...(verdict.kind === 'place' ? { driver: this.options.driver } : {}),
      ...(spec ? { listen: spec.listen } : {}),
      targets:
        verdict.kind === 'place'
          ? verdict.forward.targets.map((t, i) => {
              const host = spec?.targets[i]?.host;
              return { host: host ? formatHost(host) : t.address.text, address: t.address.text, port: t.port ?? 0 };
            })
          : [],
      ...(drift ? { drift } : {}),
      // The same lists where only the drift is new: that is no other verdict.
      conditions: old && sameConditions(old.conditions, conditions) ? old.conditions : conditions,
      violations: old && sameViolations(old.violations, finding.violations) ? old.violations : finding.violations,
      clientAddress: verdict.kind === 'place' ? verdict.clientAddress : '',
    };
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
    case 'place':
      if (is.quarantined) {
        const { message, older } = is.quarantined;
        return {
          state: older ? 'DEGRADED' : 'REJECTED',
          conditions: [bad('Applied', 'APPLY_FAILED', older ? `${message}; what it was before is still in place` : message)],
          violations: [{ field: 'spec', description: message }],
        };
      }
      if (is.notApplied)
        return { ...fine, state: 'DEGRADED', conditions: [bad('Applied', 'APPLY_FAILED', is.notApplied.message)] };
      if (is.contested) return { ...fine, state: 'DEGRADED', conditions: [bad('DriftFree', 'CONTESTED', is.contested.message)] };
      if (contended)
        return {
          state: 'DEGRADED',
          conditions: [bad('ListenerFree', contended.reason, sentence(contended.violations)), APPLIED],
          violations: contended.violations,
        };
      return { ...fine, state: 'ACTIVE', conditions: [APPLIED] };
  }
}

const APPLIED = { type: 'Applied', status: 'true', reason: 'APPLIED', message: 'in place, read back' } as const;

const bad = (type: string, reason: string, message: string) => ({ type, status: 'false', reason, message }) as const;

const sentence = (violations: readonly Violation[]): string => violations.map((v) => `${v.field}: ${v.description}`).join('; ');

/** The spec object stands for its content: an entry is read once, and read anew only when its bytes changed. */
function sameJudgement(a: Judgement, b: Judgement): boolean {
  if (a.generation !== b.generation || a.spec !== b.spec || a.verdict.kind !== b.verdict.kind) return false;
  return a.verdict.kind !== 'place' || b.verdict.kind !== 'place' || a.verdict.clientAddress === b.verdict.clientAddress;
}

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
