/** Gives every desired forward its verdict: pure, apart from what is handed in. */
import type { TrafficSpec } from '@gwctl/shared/domain/forward';
import { formatListener } from '@gwctl/shared/domain/forward';
import type { Violation } from '@gwctl/shared/domain/result';
import type { ReadEntry } from '../desired/types.js';
import type { DesiredForward, HostDesired, HostFacts, PlacedForward, Planned, Verdict } from '../planner/types.js';

/** The planner, with what it needs to know of the driver already given. */
export type PlanForwards = (desired: readonly DesiredForward[], facts: HostFacts, now: number) => Planned;

/** What the gateway's own administrator permits, whatever the control plane wants. */
export interface PolicyCheck {
  /** Violations by uid, for the forwards that are not permitted. */
  refusals(desired: readonly DesiredForward[]): ReadonlyMap<string, readonly Violation[]>;
}

export interface Judgement {
  readonly uid: string;
  readonly generation: number;
  readonly name: string;
  /** Undefined where the entry could not be read. */
  readonly spec?: TrafficSpec;
  readonly verdict: Verdict;
  /** In place although this speaks against it: see {@link keepInPlace}. */
  readonly contended?: { readonly reason: string; readonly violations: readonly Violation[] };
}

export interface Judged {
  readonly host: HostDesired;
  readonly judgements: readonly Judgement[];
}

export interface JudgeInput {
  readonly entries: readonly ReadEntry[];
  readonly facts: HostFacts;
  readonly now: number;
  readonly plan: PlanForwards;
  readonly policy: PolicyCheck;
  /** What the driver carries now, as far as this process knows. */
  readonly carried: ReadonlyMap<string, PlacedForward>;
}

export function judge(input: JudgeInput): Judged {
  const forwards = input.entries.flatMap((e) => (e.kind === 'forward' ? [e.forward] : []));
  const refused = input.policy.refusals(forwards);
  const permitted = refused.size === 0 ? forwards : forwards.filter((f) => !refused.has(f.uid));
  const { planned, contended } = keepInPlace(permitted, input);
  const judgements = input.entries.map((entry): Judgement => {
    if (entry.kind === 'invalid') {
      const { uid, generation, name, violations } = entry;
      return { uid, generation, name, verdict: { kind: 'reject', reason: 'INVALID_FORWARD', violations } };
    }
    const { uid, generation, name, spec } = entry.forward;
    const about = { uid, generation, name, spec };
    const forbidden = refused.get(uid);
    if (forbidden) return { ...about, verdict: { kind: 'reject', reason: 'POLICY', violations: forbidden } };
    const verdict = planned.verdicts.get(uid);
    if (!verdict) throw new Error(`the planner gave no verdict for ${uid}`);
    const against = contended.get(uid);
    if (against) return { ...about, verdict, contended: against };
    return { ...about, verdict: verdict.kind === 'reject' ? { ...verdict, violations: inSpec(verdict.violations) } : verdict };
  });
  return { host: planned.host, judgements };
}

type Reject = Verdict & { readonly kind: 'reject' };

/**
 * A local program that takes the port of a forward that is in place does not end it: the kernel still rewrites the packets before
 * any socket sees them, and to let go would cut what works. It is kept, and degraded, until either goes away.
 */
function keepInPlace(
  forwards: readonly DesiredForward[],
  input: JudgeInput,
): { planned: Planned; contended: ReadonlyMap<string, { reason: string; violations: readonly Violation[] }> } {
  const { plan, facts, now, carried } = input;
  const planned = plan(forwards, facts, now);
  const late = new Map<string, Reject>();
  for (const forward of forwards) {
    const verdict = planned.verdicts.get(forward.uid);
    const old = carried.get(forward.uid);
    if (verdict?.kind === 'reject' && verdict.reason === 'PORT_IN_USE' && old && sameListener(old, forward))
      late.set(forward.uid, verdict);
  }
  if (late.size === 0) return { planned, contended: new Map() };
  const insisting = forwards.map((f) => (late.has(f.uid) ? { ...f, spec: { ...f.spec, takeover: true } } : f));
  const again = plan(insisting, facts, now);
  const contended = new Map(
    [...late]
      .filter(([uid]) => again.verdicts.get(uid)?.kind === 'place')
      .map(([uid, { reason, violations }]) => [uid, { reason, violations: inSpec(violations) }]),
  );
  return { planned: again, contended };
}

function sameListener(placed: PlacedForward, { spec }: DesiredForward): boolean {
  return (
    placed.listen.interface === spec.listen.interface &&
    formatListener({ ...placed.listen, announce: false }) === formatListener({ ...spec.listen, announce: false })
  );
}

/** The planner's paths begin inside the spec; users know them from its outside. */
const inSpec = (violations: readonly Violation[]): Violation[] =>
  violations.map((v) => ({ ...v, field: v.field === 'uid' ? v.field : `spec.${v.field}` }));
