/** What a user changes about a gateway as a whole. Only what is present changes. */
import type { DriftPolicy } from '@gwctl/shared/domain/gateway-settings';

export interface GatewayChanges {
  readonly driftPolicy?: DriftPolicy;
  /** Empty: those of the gateway's own /etc/resolv.conf. */
  readonly resolvers?: readonly string[];
  /** Seconds; 0: the default. */
  readonly dnsMinTtl?: number;
  /** Seconds; 0: the default. */
  readonly dnsMaxTtl?: number;
}
