/** How something that a gateway carries stands there, as its agent says. */
import type { Protocol } from '@gwctl/shared/domain/forward';
import type { ConditionResource, DriftResource, Metadata, ViolationResource, Word } from './metadata.js';

export interface ListenerResource {
  /** Absent: every address of the gateway. */
  readonly address?: string;
  readonly interface?: string;
  readonly protocol: Word<Protocol>;
  /** `10022` or `50000-50009`; absent exactly for protocol `all`. */
  readonly ports?: string;
  readonly announce?: boolean;
}

export interface ResolvedTargetResource {
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly health: string;
  /** Round trip in microseconds; absent where it was not measured. */
  readonly rttMicros?: number;
}

export interface CountersResource {
  readonly packets: number;
  readonly bytes: number;
  readonly flows: number;
  readonly refused: number;
}

/** One forward or egress on one gateway. */
export interface PlacementResource {
  readonly gateway: string;
  /** PENDING, ACTIVE, DEGRADED, REJECTED, EXPIRED, UNKNOWN or DISABLED. */
  readonly state: string;
  /** The generation that `state` speaks of. */
  readonly observedGeneration: number;
  /** The gateway's revision that first carried this generation. */
  readonly revision: number;
  readonly reportTime?: string;
  readonly driver?: string;
  readonly listen?: ListenerResource;
  readonly targets: readonly ResolvedTargetResource[];
  readonly clientAddress?: string;
  readonly counters?: CountersResource;
  readonly drift?: DriftResource;
  readonly conditions: readonly ConditionResource[];
  readonly violations: readonly ViolationResource[];
}

/** What forwards and egresses have in common. */
export interface Carried {
  readonly metadata: Metadata;
  readonly spec: { readonly enabled: boolean };
  readonly status: { readonly placements: readonly PlacementResource[] };
}
