import { type HealthView, Planner, type PolicyCheck } from '../planner/planner.js';
import type {
  Carriers,
  DesiredEgress,
  DesiredForward,
  DriverCapabilities,
  HostFacts,
  Planned,
  ReadEntry,
  Resolution,
  Verdict,
} from '../planner/types.js';

/** One plan from nothing, for data that comes in one piece. */
export function planForwards(input: {
  readonly desired: readonly DesiredForward[];
  readonly egresses?: readonly DesiredEgress[];
  readonly facts: HostFacts;
  readonly now: number;
  /** Of the kernel driver, or of all who are there. */
  readonly capabilities: DriverCapabilities | Carriers;
  readonly keyOf: (uid: string) => string;
  readonly names?: ReadonlyMap<string, Resolution>;
  readonly health?: HealthView['of'];
}): Planned & { readonly verdicts: ReadonlyMap<string, Verdict> } {
  const { desired, egresses = [], facts, now, capabilities, keyOf, names = new Map(), health = () => undefined } = input;
  const entries: ReadEntry[] = [
    ...desired.map((forward) => ({ kind: 'forward' as const, uid: forward.uid, forward })),
    ...egresses.map((egress) => ({ kind: 'egress' as const, uid: egress.uid, egress })),
  ];
  const planned = new Planner({ capabilities: 'kind' in capabilities ? { kernel: capabilities } : capabilities, keyOf }).plan({
    entries: entries.sort((a, b) => (a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0)),
    facts,
    policy: NO_LIMITS,
    names,
    health: { version: 0, of: health },
    now,
  });
  return { ...planned, verdicts: new Map(planned.judgements.map((j) => [j.uid, j.verdict])) };
}

const NO_LIMITS: PolicyCheck = {
  forward: () => [],
  egress: () => [],
  permits: () => true,
  permitsLocal: () => false,
  maxForwards: Number.POSITIVE_INFINITY,
};
