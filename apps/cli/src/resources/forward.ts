/** A forward as people and programs see it: the form of `-o yaml` and `-o json`. Mappers make it from the wire and back. */
import type { DriverChoice, OnChange, Protocol, SnatMode } from '@gwctl/shared/domain/forward';
import type { Labels } from '../flags/labels.js';
import type { ConditionResource, DriftResource, Metadata, ViolationResource } from './metadata.js';

/**
 * A word of the domain, or the text that stands for a value of a newer control plane's.
 * The intersection keeps the known words visible to the type checker.
 */
export type Word<T extends string> = T | (string & {});

export interface ListenerResource {
  /** Absent: every address of the gateway. */
  readonly address?: string;
  readonly interface?: string;
  readonly protocol: Word<Protocol>;
  /** `10022` or `50000-50009`; absent exactly for protocol `all`. */
  readonly ports?: string;
  readonly announce?: boolean;
}

export interface TargetResource {
  readonly host: string;
  /** Absent: the listener's own ports. */
  readonly port?: number;
  readonly weight: number;
}

export interface SnatResource {
  readonly mode: Word<SnatMode>;
  readonly address?: string;
}

export interface ForwardSpecResource {
  readonly description?: string;
  readonly owner?: string;
  /** One of the two. */
  readonly gateway?: string;
  readonly gatewaySelector?: Labels;
  readonly listen: ListenerResource;
  readonly targets: readonly TargetResource[];
  /** Empty: anyone. */
  readonly allowSources: readonly string[];
  readonly snat: SnatResource;
  readonly driver: Word<DriverChoice>;
  readonly onChange: Word<OnChange>;
  readonly enabled: boolean;
  readonly expires?: string;
  readonly takeover?: boolean;
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

/** One forward on one gateway. */
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

export interface ForwardResource {
  readonly apiVersion: 'gwctl/v1';
  readonly kind: 'Forward';
  readonly metadata: Metadata;
  readonly spec: ForwardSpecResource;
  readonly status: { readonly placements: readonly PlacementResource[] };
}
