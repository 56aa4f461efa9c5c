import type { Family } from '@gwctl/shared/domain/ip';
import type { FilterHook, Variant } from '../../filters/filters.js';
import type { FlowMatch } from '../../system/conntrack.js';
import type { Plan, Step } from '../driver.js';
import type { Suffix } from './elements.js';
import type { ObservedTables, OwnWay } from './observe.js';
import type { Rendered } from './render.js';
import type { SetSpec } from './sets.js';

/** Elements of one set that go and come, suffix by key. A changed one is in both. */
export interface ElementsStep extends Step {
  readonly kind: 'elements';
  readonly set: SetSpec;
  readonly removed: readonly string[];
  readonly added: ReadonlyMap<string, Suffix>;
}

/** A whole table anew, with all that is wanted in it and the ways that flows may live on. */
export interface RebuildStep extends Step {
  readonly kind: 'rebuild';
  readonly family: Family;
  readonly rendered: Rendered;
  readonly kept: readonly OwnWay[];
  readonly closed: boolean;
}

/** Whether others' traffic is kept from being forwarded. */
export interface ClosedStep extends Step {
  readonly kind: 'closed';
  readonly family: Family;
  readonly closed: boolean;
}

/**
 * Deletes chains that were emptied long enough ago: before Linux 6.2 a chain cannot go in the transaction that takes away the element
 * which points to it, nor right after.
 */
export interface SweepStep extends Step {
  readonly kind: 'sweep';
  readonly family: Family;
  /** Since when each is empty, in milliseconds since the epoch. */
  readonly chains: ReadonlyMap<string, number>;
}

/** A table goes, unless flows live on it (see {@link LookForFlowsStep}). */
export interface RemoveTableStep extends Step {
  readonly kind: 'remove-table';
  readonly family: Family;
}

/** Writes what is before it, and waits until no packet is under way that met the table as it was. */
export interface LetPassStep extends Step {
  readonly kind: 'let-pass';
}

/** Finds out which ways of removed and changed forwards still have flows, but for those that the plan removes anyway. */
export interface LookForFlowsStep extends Step {
  readonly kind: 'look-for-flows';
  readonly ignoring: readonly FlowMatch[];
  readonly ways: readonly OwnWay[];
}

/** Takes away those ways that have none. */
export interface ReleaseStep extends Step {
  readonly kind: 'release';
  readonly ways: readonly OwnWay[];
}

/** Our rule in a chain of iptables: exactly one, in first place, or none. */
export interface CompanionStep extends Step {
  readonly kind: 'companion';
  readonly family: Family;
  readonly hook: FilterHook;
  readonly variant: Variant;
  readonly wanted: boolean;
  /** How many there are now. */
  readonly present: number;
  /** Left out while flows of ours are still alive. */
  readonly onlyWhenIdle: boolean;
}

export interface ForwardingStep extends Step {
  readonly kind: 'ip-forward';
  readonly family: Family;
  readonly to: 'on' | 'restored';
  readonly onlyWhenIdle: boolean;
}

/** Writes what is before it, if it is not written yet, and makes sure that the host is now as wanted. */
export interface VerifyStep extends Step {
  readonly kind: 'verify';
  readonly expect: Rendered;
  /** The tables as they then are, if no way was released and none of them removed. */
  readonly after: ObservedTables;
}

/** Removes flows that contradict the rules. Comes after them: a flow must not be born again by the old ones. */
export interface FlowsStep extends Step {
  readonly kind: 'flows';
  readonly match: FlowMatch;
}

/** What changes our tables. */
export type TableStep = ElementsStep | RebuildStep | ClosedStep | SweepStep | RemoveTableStep;
export type NftablesStep =
  | TableStep
  | LetPassStep
  | LookForFlowsStep
  | ReleaseStep
  | CompanionStep
  | ForwardingStep
  | VerifyStep
  | FlowsStep;
export type NftablesPlan = Plan<NftablesStep>;
