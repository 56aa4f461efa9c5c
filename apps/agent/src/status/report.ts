import type { Violation } from '@gwctl/shared/domain/result';
import type { Condition, Counters, Drift, PlacementStateWord, TargetHealthWord } from '@gwctl/shared/domain/status';
import type { Capability } from '../control-link/mapper.js';

/** What `gwctl-agent status` is told: one JSON document. Times are ISO 8601 in UTC. */
export interface StatusReport {
  readonly agent: { readonly version: string; readonly pid: number; readonly startTime: string };
  readonly gateway: { readonly name: string; readonly uid: string };
  readonly controlPlane: {
    readonly connected: boolean;
    readonly since: string;
    readonly server?: string;
    readonly session?: string;
    readonly version?: string;
    readonly error?: { readonly reason: string; readonly message: string };
    readonly nextAttempt?: string;
    readonly clockSkewMs?: number;
  };
  readonly desired: {
    readonly known: boolean;
    /** Where what is held was last confirmed: the control plane, or only the disk since this agent started. */
    readonly source: 'disk' | 'control-plane';
    readonly epoch?: string;
    readonly acceptedRevision?: number;
    readonly appliedRevision?: number;
    readonly acceptedTime?: string;
    readonly forwards: number;
  };
  readonly driver: string;
  readonly capabilities: readonly Capability[];
  readonly certificate: { readonly notBefore: string; readonly notAfter: string };
  readonly conditions: readonly StatusCondition[];
  readonly forwards: readonly StatusForward[];
}

export type StatusCondition = Omit<Condition, 'since'> & { readonly since: string };

export interface StatusTarget {
  /** `10.0.0.31:80`, or without a port where it keeps the listener's. */
  readonly address: string;
  /** The name that it is an address of. */
  readonly host?: string;
  readonly health?: TargetHealthWord;
  /** Microseconds that a connection took. */
  readonly rttUs?: number;
}

/** A forward or an egress. */
export interface StatusForward {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly state: PlacementStateWord;
  readonly driver?: string;
  /** For instance `192.168.1.10:10022/tcp`. */
  readonly listen?: string;
  /** Of an egress, for instance `10.0.0.0/16 out of eth0`. */
  readonly egress?: string;
  /** Every address that there is, in rotation or not. */
  readonly targets: readonly StatusTarget[];
  readonly counters?: Counters;
  readonly clientAddress: string;
  readonly conditions: readonly StatusCondition[];
  readonly violations: readonly Violation[];
  readonly drift?: Omit<Drift, 'detected' | 'repaired'> & { readonly detected: string; readonly repaired?: string };
}
