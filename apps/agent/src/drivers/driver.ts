import type { Condition, Counters, Drift } from '@gwctl/shared/domain/status';
import type { DriverCapabilities, Health, HostDesired } from '../planner/types.js';

export type DriverName = 'nftables' | 'iptables-nft' | 'iptables-legacy' | 'relay';

/** What was found by trying. */
export interface Detection {
  readonly supported: boolean;
  /** What was tried and what came back; for people. */
  readonly detail: string;
}

/** The kernel announced a change of somebody else's. */
export type OnKernelChange = (by: { readonly process?: string; readonly pid?: number }) => void;

/** One step of a plan as data: it can be printed before anything happens, and a total map in the driver executes it. */
export interface Step {
  /** Names the executor. */
  readonly kind: string;
  /** One line for people, for instance "nat: add GWCTL-F-9f1c2ab0 (2 rules)". */
  readonly title: string;
  /** Keys of the forwards it is for; empty for what all share. */
  readonly forwards: readonly string[];
}

/** Ordered steps; empty when the host already matches. */
export interface Plan<S extends Step = Step> {
  readonly steps: readonly S[];
}

/** Observed differs from what this driver last applied. `forwards` holds uids; empty when an object that all share is concerned. */
export interface DriftFound {
  readonly forwards: readonly string[];
  readonly drift: Drift;
}

/** A fact about the gateway that a driver found; whoever keeps conditions adds since when. */
export type DriverCondition = Omit<Condition, 'since'>;

/** What a driver found out about one placement that its rules alone do not tell: another's DNAT on the same listener. */
export interface PlacementFinding {
  readonly uid: string;
  readonly condition: DriverCondition;
  /** The placement could not be made as wanted: whether what it was before is still in place. Undefined: it is as wanted. */
  readonly instead?: 'older' | 'nothing';
}

/**
 * The port that every driver implements, and the fake beside it. A driver takes the whole desired state, never single adds and
 * deletes; it knows neither other drivers nor the reconciler. R is what it renders, O what it observes, both its own business.
 *
 * render and diff are pure. observe reads, apply writes: only apply changes the host.
 */
export interface Driver<R = unknown, O = unknown, S extends Step = Step> {
  readonly name: DriverName;
  readonly capabilities: DriverCapabilities;
  /** Tries the facility in earnest (a scratch chain, a check-only load), never a version number. */
  detect(): Promise<Detection>;
  /**
   * The whole of what the driver needs on the host for `desired`. Pure. `previous` is an earlier answer of it: what did not change since
   * (by reference: the planner hands on the same objects) is taken from there, so that one change among tens of thousands costs one.
   */
  render(desired: HostDesired, previous?: R): R;
  /** Reads the driver's own objects back, and what stands in their way; recognises them without memory. Throws when it cannot tell. */
  observe(): Promise<O>;
  /** The mirror: what the last apply left, without asking the kernel. Undefined until the first observe or after an error. */
  mirror(): O | undefined;
  /**
   * What turns `observed` into `rendered`, with conntrack clean-up as its last steps. Pure. Where `observed` is what the driver left when
   * it applied an earlier rendering, it costs as much as the two renderings differ.
   */
  diff(rendered: R, observed: O): Plan<S>;
  /**
   * Carries out the plan in order, then verifies what it changed by reading it back, and brings the mirror up to date.
   * Throws at the first step that fails; the mirror is then unset, so that the next reconcile reads everything back.
   */
  apply(plan: Plan<S>): Promise<void>;
  /** Compares what is there with what was last applied; empty without drift. Pure. */
  drift(applied: R, observed: O): readonly DriftFound[];
  /** What holds of the gateway as observed, good and bad: forwarding on and whose doing, flow clean-up possible, and so on. */
  conditions(observed: O): readonly DriverCondition[];
  /** What speaks of single placements as observed; empty where nothing does. Pure. */
  findings?(applied: R, observed: O): readonly PlacementFinding[];
  /** What connections showed of targets, by uid and then by `ADDRESS PORT`; only where the driver makes connections of its own. Pure. */
  targetHealth?(observed: O): ReadonlyMap<string, ReadonlyMap<string, Health>>;
  /** What passed so far, by the keys of forwards and egresses; one that is not named has no counters. Reads only. */
  counters?(): Promise<ReadonlyMap<string, Counters>>;
  /** Removes every object of this driver, with no memory of what it made. Sysctls go back to what was recorded. */
  cleanUp(): Promise<void>;
  /** Calls `onChange` when the kernel announces that somebody else changed rules; undefined where it never does. */
  watch?(onChange: OnKernelChange): { close(): void };
  /** The same for what is no rule: addresses, links. Asked only where there is no {@link watch}, which tells of both. */
  readonly watchHost?: ((onChange: OnKernelChange) => { close(): void }) | undefined;
}
