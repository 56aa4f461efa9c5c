/** Forwards of the relay in few words, for the specs of drivers. */
import type { PlacedRelayed } from '../planner/types.js';
import type { RelayedForward } from '../relay/types.js';
import { forwardKey } from '../system/forward-key.js';
import { cidr, ip } from './placed.js';

/** One in few words; by default tcp 203.0.113.10:8080 to 10.0.0.10:80, drained, for anyone. */
export function relayed(
  options: {
    readonly uid?: string;
    /** Null: every address of both families. */
    readonly address?: string | null;
    readonly interface?: string;
    readonly transports?: RelayedForward['listen']['transports'];
    readonly port?: number;
    readonly last?: number;
    readonly allow?: readonly string[];
  } = {},
): PlacedRelayed {
  const uid = options.uid ?? '00000000-0000-4000-8000-0000000000a1';
  const { address = '203.0.113.10', port = 8080 } = options;
  const at = address === null ? undefined : ip(address);
  return {
    uid,
    generation: 1,
    key: forwardKey(uid),
    listen: {
      ...(at ? { address: at } : {}),
      families: at ? [at.family] : [4, 6],
      ...(options.interface === undefined ? {} : { interface: options.interface }),
      transports: options.transports ?? ['tcp'],
      ports: { first: port, last: options.last ?? port },
    },
    targets: [{ address: ip('10.0.0.10'), port: 80, weight: 1 }],
    down: [],
    affinity: 'none',
    ...(options.allow === undefined ? {} : { allow: options.allow.map(cidr) }),
    onChange: 'drain',
    connectTimeout: 5_000,
    tcpIdleTimeout: 86_400_000,
    udpIdleTimeout: 60_000,
  };
}
