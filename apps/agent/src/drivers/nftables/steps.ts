import type { FlowMatch } from '../../system/conntrack.js';
import type { Plan, Step } from '../driver.js';
import type { Variant } from './filters.js';
import type { SetName } from './layout.js';
import type { OwnElement } from './observe.js';
import type { Rendered, Suffix } from './render.js';

/** Elements of one set that go and come, suffix by key. A changed one is in both. */
export interface ElementsStep extends Step {
  readonly kind: 'elements';
  readonly set: SetName;
  readonly removed: readonly string[];
  readonly added: ReadonlyMap<string, Suffix>;
}

/** The whole table anew, with these elements. */
export interface RebuildStep extends Step {
  readonly kind: 'rebuild';
  readonly sets: ReadonlyMap<SetName, ReadonlyMap<string, Suffix>>;
  readonly closed: boolean;
}

/** Whether others' traffic is kept from being forwarded. */
export interface ClosedStep extends Step {
  readonly kind: 'closed';
  readonly closed: boolean;
}

/** The table goes, unless flows live on it (see {@link LookForFlowsStep}). */
export interface RemoveTableStep extends Step {
  readonly kind: 'remove-table';
}

/** Finds out which ways of removed and changed forwards still have flows, but for those that the plan removes anyway. */
export interface LookForFlowsStep extends Step {
  readonly kind: 'look-for-flows';
  readonly ignoring: readonly FlowMatch[];
  readonly ways: readonly OwnElement[];
}

/** Takes away those ways that have none. */
export interface ReleaseStep extends Step {
  readonly kind: 'release';
  readonly ways: readonly OwnElement[];
}

/** Our rule in the FORWARD chain of iptables: exactly one, in first place, or none. */
export interface CompanionStep extends Step {
  readonly kind: 'companion';
  readonly variant: Variant;
  readonly wanted: boolean;
  /** How many there are now. */
  readonly present: number;
  /** Left out while flows of ours are still alive. */
  readonly onlyWhenIdle: boolean;
}

export interface ForwardingStep extends Step {
  readonly kind: 'ip-forward';
  readonly to: 'on' | 'restored';
  readonly onlyWhenIdle: boolean;
}

/** Writes what is before it, if it is not written yet, and makes sure that the host is now as wanted. */
export interface VerifyStep extends Step {
  readonly kind: 'verify';
  readonly expect: Rendered;
}

/** Removes flows that contradict the rules. Comes after them: a flow must not be born again by the old ones. */
export interface FlowsStep extends Step {
  readonly kind: 'flows';
  readonly match: FlowMatch;
}

/** What changes our table. */
export type TableStep = ElementsStep | RebuildStep | ClosedStep | RemoveTableStep;
export type NftablesStep = TableStep | LookForFlowsStep | ReleaseStep | CompanionStep | ForwardingStep | VerifyStep | FlowsStep;
export type NftablesPlan = Plan<NftablesStep>;
