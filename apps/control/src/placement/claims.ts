import { familiesOf } from '@gwctl/shared/domain/carriers';
import type { EgressSpec } from '@gwctl/shared/domain/egress';
import { type TrafficSpec, transports } from '@gwctl/shared/domain/forward';
import { type Family, formatCidr } from '@gwctl/shared/domain/ip';
import type { PortRange } from '@gwctl/shared/domain/ports';

/** One row of what a listener claims of its gateway. Two listeners conflict exactly where a row of one overlaps a row of the other. */
export interface ListenerClaim {
  readonly transport: 'tcp' | 'udp';
  readonly family: Family;
  /** A CIDR: one address, or the whole family for a listener on every address. */
  readonly address: string;
  readonly ports: PortRange;
}

/** One source of an egress: two conflict where they leave by the same interface and one network covers the other. */
export interface SourceClaim {
  readonly outInterface: string;
  /** A CIDR. */
  readonly source: string;
}

/** What an entry claims of its gateway for itself alone. */
export interface Claims {
  readonly listeners: readonly ListenerClaim[];
  readonly sources: readonly SourceClaim[];
}

export const NO_CLAIMS: Claims = { listeners: [], sources: [] };

const EVERY_PORT: PortRange = { first: 0, last: 65535 };
const WHOLE_FAMILY: Readonly<Record<Family, string>> = { 4: '0.0.0.0/0', 6: '::/0' };

/**
 * A listener on every address claims the whole of the family that its forward is of, and nothing of the other: IPv4 and IPv6 on one
 * port may go to different places. Only the relay takes both, and so claims both. Protocol all claims every port.
 */
export function claimsOfForward(spec: TrafficSpec): Claims {
  const { protocol, address, ports = EVERY_PORT } = spec.listen;
  const claimed = (family: Family) => (address ? `${address.text}/${family === 4 ? 32 : 128}` : WHOLE_FAMILY[family]);
  const listeners = familiesOf(spec).flatMap((family) =>
    transports(protocol).map((transport) => ({ transport, family, address: claimed(family), ports })),
  );
  return { ...NO_CLAIMS, listeners };
}

export function claimsOfEgress({ outInterface, sources }: EgressSpec): Claims {
  return { ...NO_CLAIMS, sources: sources.map((source) => ({ outInterface, source: formatCidr(source) })) };
}
