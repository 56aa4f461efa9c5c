/** Placed forwards in few words, for the specs of drivers. */
import { type Cidr, type IpAddress, parseCidr, parseIp } from '@gwctl/shared/domain/ip';
import type { PlacedForward } from '../planner/types.js';
import { forwardKey } from '../system/forward-key.js';

export function ip(text: string): IpAddress {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

/** A forward in few words; by default tcp 203.0.113.10:443 to 10.0.0.10:8443, masqueraded, drained, for anyone. */
export function placed(
  options: {
    readonly uid?: string;
    readonly address?: string | null;
    readonly interface?: string;
    readonly protocol?: 'tcp' | 'udp';
    readonly port?: number;
    readonly target?: string;
    readonly targetPort?: number;
    readonly allow?: readonly string[];
    readonly snat?: 'masquerade' | 'none' | string;
    readonly onChange?: PlacedForward['onChange'];
    readonly hairpin?: readonly string[];
  } = {},
): PlacedForward {
  const uid = options.uid ?? '00000000-0000-4000-8000-000000000001';
  const port = options.port ?? 443;
  const { address = '203.0.113.10', snat = 'masquerade' } = options;
  return {
    uid,
    generation: 1,
    key: forwardKey(uid),
    family: 4,
    listen: {
      ...(address === null ? {} : { address: ip(address) }),
      ...(options.interface === undefined ? {} : { interface: options.interface }),
      protocol: options.protocol ?? 'tcp',
      ports: { first: port, last: port },
    },
    targets: [{ address: ip(options.target ?? '10.0.0.10'), port: options.targetPort ?? 8443, weight: 1 }],
    affinity: 'none',
    ...(options.allow === undefined ? {} : { allow: options.allow.map(cidr) }),
    snat: snat === 'masquerade' || snat === 'none' ? { mode: snat } : { mode: 'address', address: ip(snat) },
    onChange: options.onChange ?? 'drain',
    clampMss: false,
    hairpin: (options.hairpin ?? []).map((network) => ({ network: cidr(network), target: ip(options.target ?? '10.0.0.10') })),
  };
}
