/** The traffic part of forwards in few words, for specs. */
import { parseTrafficSpec, type RawTrafficSpec, type TrafficSpec } from '../domain/forward.js';
import type { RawRelayOptions } from '../domain/relay-options.js';

/** What differs from {@link rawTraffic}'s forward; single fields of the listener and single options of the relay, too. */
export type TrafficWords = Partial<Omit<RawTrafficSpec, 'listen' | 'relay'>> & {
  readonly listen?: Partial<NonNullable<RawTrafficSpec['listen']>>;
  readonly relay?: Partial<RawRelayOptions>;
};

/** By default tcp 192.0.2.1:80 to 198.51.100.2:80 for anyone, with nothing asked for beyond that. A listener for all has no ports. */
export function rawTraffic({ listen, relay, ...more }: TrafficWords = {}): RawTrafficSpec {
  return {
    listen: {
      address: '192.0.2.1',
      interface: '',
      protocol: 'tcp',
      ...(listen?.protocol === 'all' ? {} : { ports: { first: 80, last: 80 } }),
      announce: false,
      ...listen,
    },
    targets: [{ host: '198.51.100.2', port: 80, weight: 1 }],
    allowSources: [],
    driver: 'auto',
    onChange: 'drain',
    enabled: true,
    takeover: false,
    affinity: 'none',
    helper: 'auto',
    clampMss: false,
    ...(relay ? { relay: relayOptions(relay) } : {}),
    ...more,
  };
}

/** The same, checked. @throws Error where it is refused */
export function traffic(words: TrafficWords = {}): TrafficSpec {
  const parsed = parseTrafficSpec(rawTraffic(words));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  return parsed.value;
}

/** Options of the relay, by default none of them. */
export const relayOptions = (words: Partial<RawRelayOptions> = {}): RawRelayOptions => ({
  proxyProtocol: 'none',
  connectTimeout: 0,
  tcpIdleTimeout: 0,
  udpIdleTimeout: 0,
  maxConnections: 0,
  maxConnectionsPerClient: 0,
  ...words,
});
