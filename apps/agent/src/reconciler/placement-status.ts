import type { Listener } from '@gwctl/shared/domain/forward';
import type { Violation } from '@gwctl/shared/domain/result';
import type { Condition, Counters, Drift, PlacementStateWord } from '@gwctl/shared/domain/status';
import type { DriverName } from '../drivers/driver.js';
import type { TargetView } from '../planner/types.js';

/** How one forward or egress stands on this gateway, as last found. Objects are replaced, never changed: the same object is the same status. */
export interface PlacementStatus {
  readonly uid: string;
  readonly generation: number;
  /** For people. */
  readonly name: string;
  readonly state: PlacementStateWord;
  readonly driver?: DriverName;
  readonly listen?: Listener;
  /** Of an egress that is placed, for people: `10.0.0.0/16 out of eth0`. */
  readonly egress?: string;
  readonly targets: readonly TargetView[];
  readonly counters?: Counters;
  readonly drift?: Drift;
  readonly conditions: readonly Condition[];
  readonly violations: readonly Violation[];
  /** Whether the target sees the client's address, and why. */
  readonly clientAddress: string;
}

/** Something that happened, for people and the control plane's event log. */
export interface AgentEvent {
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** Undefined for the whole gateway. */
  readonly uid?: string;
  /** UPPER_SNAKE_CASE. */
  readonly reason: string;
  readonly message: string;
  readonly drift?: Drift;
}
