/** A forward as people and programs see it: the form of `-o yaml` and `-o json`. Mappers make it from the wire and back. */
import type { Affinity, DriverChoice, HealthCheckMode, HelperChoice, OnChange, SnatMode } from '@gwctl/shared/domain/forward';
import type { ProxyProtocol } from '@gwctl/shared/domain/relay-options';
import type { Labels } from '../flags/labels.js';
import type { Metadata, Word } from './metadata.js';
import type { ListenerResource, PlacementResource } from './placement.js';

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

export interface HealthCheckResource {
  readonly mode: Word<HealthCheckMode>;
  /** Absent: the port that traffic goes to. */
  readonly port?: number;
}

/** Each absent where it is the default. */
export interface RelayResource {
  readonly proxyProtocol?: Word<ProxyProtocol>;
  readonly connectTimeoutSeconds?: number;
  readonly tcpIdleTimeoutSeconds?: number;
  readonly udpIdleTimeoutSeconds?: number;
  readonly maxConnections?: number;
  readonly maxConnectionsPerClient?: number;
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
  readonly affinity: Word<Affinity>;
  readonly helper: Word<HelperChoice>;
  readonly clampMss?: boolean;
  readonly healthCheck: HealthCheckResource;
  /** Absent where nothing is asked of the relay. */
  readonly relay?: RelayResource;
  readonly enabled: boolean;
  readonly expires?: string;
  readonly takeover?: boolean;
}

export interface ForwardResource {
  readonly apiVersion: 'gwctl/v1';
  readonly kind: 'Forward';
  readonly metadata: Metadata;
  readonly spec: ForwardSpecResource;
  readonly status: { readonly placements: readonly PlacementResource[] };
}
