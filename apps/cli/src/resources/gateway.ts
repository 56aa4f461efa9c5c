/** A gateway as people and programs see it: the form of `-o yaml` and `-o json`. */
import type { DriftPolicy } from '@gwctl/shared/domain/gateway-settings';
import type { ConditionResource, Metadata, Word } from './metadata.js';

export interface CapabilityResource {
  readonly name: string;
  readonly supported: boolean;
  readonly detail: string;
}

export interface GatewayStatusResource {
  readonly connected: boolean;
  /** An agent has joined. */
  readonly enrolled: boolean;
  readonly connectedTime?: string;
  readonly lastSeenTime?: string;
  /** The revision that is wanted, and how far the agent came. */
  readonly revision: number;
  readonly acceptedRevision: number;
  readonly appliedRevision: number;
  readonly agentVersion?: string;
  readonly hostname?: string;
  readonly kernel?: string;
  readonly driver?: string;
  readonly forwards: number;
  readonly egresses: number;
  readonly capabilities: readonly CapabilityResource[];
  readonly conditions: readonly ConditionResource[];
}

/** Defaults are written out. */
export interface GatewaySpecResource {
  readonly cordoned: boolean;
  readonly driftPolicy: Word<DriftPolicy>;
  /** Empty: those of the gateway's own /etc/resolv.conf. */
  readonly resolvers: readonly string[];
  readonly dnsMinTtlSeconds: number;
  readonly dnsMaxTtlSeconds: number;
}

export interface GatewayResource {
  readonly apiVersion: 'gwctl/v1';
  readonly kind: 'Gateway';
  readonly metadata: Metadata;
  readonly spec: GatewaySpecResource;
  readonly status: GatewayStatusResource;
}
