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
import { EVERYTHING, FACTS } from './gateway.js';

/** One plan from nothing, for data that comes in one piece. */
export function planForwards(input: {
  readonly desired: readonly DesiredForward[];
  readonly egresses?: readonly DesiredEgress[];
  /** Default: {@link FACTS}. */
  readonly facts?: HostFacts;
  /** Default: a second after the epoch. */
  readonly now?: number;
  /** Of the kernel driver, or of all who are there; default: {@link EVERYTHING}. */
  readonly capabilities?: DriverCapabilities | Carriers;
  /** Default: {@link keyOf}. */
  readonly keyOf?: (uid: string) => string;
  /** Default: {@link NO_LIMITS}. */
  readonly policy?: PolicyCheck;
  readonly names?: ReadonlyMap<string, Resolution>;
  readonly health?: HealthView['of'];
}): Planned & { readonly verdicts: ReadonlyMap<string, Verdict> } {
  const { desired, egresses = [], capabilities = EVERYTHING, health = () => undefined } = input;
  const entries: ReadEntry[] = [
    ...desired.map((forward) => ({ kind: 'forward' as const, uid: forward.uid, forward })),
    ...egresses.map((egress) => ({ kind: 'egress' as const, uid: egress.uid, egress })),
  ];
  const planner = new Planner({
    capabilities: 'kind' in capabilities ? { kernel: capabilities } : capabilities,
    keyOf: input.keyOf ?? keyOf,
  });
  const planned = planner.plan({
    entries: entries.sort((a, b) => (a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0)),
    facts: input.facts ?? FACTS,
    policy: input.policy ?? NO_LIMITS,
    names: input.names ?? new Map(),
    health: { version: 0, of: health },
    now: input.now ?? 1_000,
  });
  return { ...planned, verdicts: new Map(planned.judgements.map((j) => [j.uid, j.verdict])) };
}

/** Keys that are as long as real ones and differ as uids do. */
export const keyOf = (uid: string): string => uid.slice(-8);

/** What no policy is: nothing is forbidden but the gateway itself as a target. */
export const NO_LIMITS: PolicyCheck = {
  forward: () => [],
  egress: () => [],
  permits: () => true,
  permitsLocal: () => false,
  maxForwards: Number.POSITIVE_INFINITY,
};
