import type { Family } from '@gwctl/shared/domain/ip';
import type { FilterHook } from '../../filters/filters.js';
import type { FlowMatch } from '../../system/conntrack.js';
import type { Plan, Step } from '../driver.js';
import type { TableName } from './layout.js';
import type { FamilyRendered, Rendered } from './render.js';

/** Lines of iptables-restore for one table. Consecutive ones go to the kernel in one process, one transaction per table. */
export interface RulesStep extends Step {
  readonly kind: 'rules';
  readonly family: Family;
  readonly table: TableName;
  readonly lines: readonly string[];
  /** Left out while flows of ours are still alive (see {@link LookForFlowsStep}). */
  readonly onlyWhenIdle?: boolean;
  /** Takes away what a packet meets on its way out, and so may still need that was let in by rules which are gone. */
  readonly exit?: boolean;
}

/** Writes the rules before it, and waits until no packet is under way that met the tables as they were. */
export interface LetPassStep extends Step {
  readonly kind: 'let-pass';
  readonly family: Family;
}

/** Finds out whether flows of ours are alive, but for those that the plan removes anyway. */
export interface LookForFlowsStep extends Step {
  readonly kind: 'look-for-flows';
  readonly family: Family;
  readonly ignoring: readonly FlowMatch[];
}

export interface ForwardingStep extends Step {
  readonly kind: 'ip-forward';
  readonly family: Family;
  readonly to: 'on' | 'restored';
  readonly onlyWhenIdle?: boolean;
}

/** Writes the rules before it, reads back and compares with what should be there. */
export interface VerifyStep extends Step {
  readonly kind: 'verify';
  readonly family: Family;
  readonly tables: readonly TableName[];
  readonly expect: FamilyRendered;
  /** The acceptance of flows stays. */
  readonly lingering: boolean;
}

/** Our one rule in a hook of the other variant, where that drops. */
export interface CompanionStep extends Step {
  readonly kind: 'companion';
  readonly family: Family;
  readonly hook: FilterHook;
  readonly wanted: boolean;
  readonly lines: readonly string[];
  readonly onlyWhenIdle?: boolean;
}

/** Removes flows that contradict the rules. Comes after them: a flow must not be born again by the old ones. */
export interface FlowsStep extends Step {
  readonly kind: 'flows';
  readonly match: FlowMatch;
}

export type IptablesStep = RulesStep | LetPassStep | LookForFlowsStep | ForwardingStep | VerifyStep | CompanionStep | FlowsStep;

export interface IptablesPlan extends Plan<IptablesStep> {
  /** What the host looks like afterwards. */
  readonly of: Rendered;
}
