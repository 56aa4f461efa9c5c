import { type Listener, transports } from '@gwctl/shared/domain/forward';
import type { Family } from '@gwctl/shared/domain/ip';
import type { PortRange } from '@gwctl/shared/domain/ports';

/** One row of what a listener claims of its gateway. Two listeners conflict exactly where a row of one overlaps a row of the other. */
export interface ListenerClaim {
  readonly transport: 'tcp' | 'udp';
  readonly family: Family;
  /** A CIDR: one address, or the whole family for a listener on every address. */
  readonly address: string;
  readonly ports: PortRange;
}

const EVERY_PORT: PortRange = { first: 0, last: 65535 };
const WHOLE_FAMILY: Readonly<Record<Family, string>> = { 4: '0.0.0.0/0', 6: '::/0' };

/** A listener on every address claims both families, since it conflicts with an address of either. Protocol all claims every port. */
export function claimsOf(listener: Listener): readonly ListenerClaim[] {
  const { address } = listener;
  const addresses = address
    ? [{ family: address.family, address: `${address.text}/${address.family === 4 ? 32 : 128}` }]
    : ([4, 6] as const).map((family) => ({ family, address: WHOLE_FAMILY[family] }));
  return transports(listener.protocol).flatMap((transport) =>
    addresses.map((a) => ({ transport, ...a, ports: listener.ports ?? EVERY_PORT })),
  );
}
