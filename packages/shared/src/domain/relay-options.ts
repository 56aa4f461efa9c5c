import type { Protocol } from './forward.js';
import type { ViolationList } from './result.js';

export type ProxyProtocol = 'none' | 'v1' | 'v2';

/** What only the relay can do. Undefined: the default. */
export interface RelayOptions {
  /** The header by which the target learns the client's address; undefined: none. */
  readonly proxyProtocol?: Exclude<ProxyProtocol, 'none'>;
  /** Seconds, default {@link CONNECT_TIMEOUT}. */
  readonly connectTimeout?: number;
  /** Seconds, default {@link TCP_IDLE_TIMEOUT}. */
  readonly tcpIdleTimeout?: number;
  /** Seconds, default {@link UDP_IDLE_TIMEOUT}. */
  readonly udpIdleTimeout?: number;
  /** TCP connections and UDP clients at a time; undefined: as many as the gateway can hold. */
  readonly maxConnections?: number;
  /** The same for each client address. */
  readonly maxConnectionsPerClient?: number;
}

/** As the wire has it: 0 stands for the default, undefined for a word that nobody here knows. */
export interface RawRelayOptions {
  readonly proxyProtocol: ProxyProtocol | undefined;
  readonly connectTimeout: number;
  readonly tcpIdleTimeout: number;
  readonly udpIdleTimeout: number;
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
}

/** Seconds until a target must have answered a connect. */
export const CONNECT_TIMEOUT = 5;
/** Seconds: a day, so that a session at a database outlives a night. */
export const TCP_IDLE_TIMEOUT = 86_400;
/** Seconds. */
export const UDP_IDLE_TIMEOUT = 60;

/** By what the options are called: on the wire, how much is allowed, whether it is in seconds, and which transport it is of. */
export const RELAY_NUMBERS = {
  connectTimeout: { field: 'connect_timeout_seconds', most: 300, seconds: true, of: 'tcp' },
  tcpIdleTimeout: { field: 'tcp_idle_timeout_seconds', most: 604_800, seconds: true, of: 'tcp' },
  udpIdleTimeout: { field: 'udp_idle_timeout_seconds', most: 86_400, seconds: true, of: 'udp' },
  maxConnections: { field: 'max_connections', most: 1_000_000, seconds: false, of: 'any' },
  maxConnectionsPerClient: { field: 'max_connections_per_client', most: 1_000_000, seconds: false, of: 'any' },
} as const;

type NumberKey = keyof typeof RELAY_NUMBERS;
const NUMBERS = Object.keys(RELAY_NUMBERS) as readonly NumberKey[];

/**
 * Undefined where nothing is asked for, or where something is wrong, which is in `bad` then.
 * @param protocol What the listener takes; undefined where that is not known.
 */
export function parseRelayOptions(
  raw: RawRelayOptions,
  protocol: Protocol | undefined,
  bad: ViolationList,
  at: (field: string) => string,
): RelayOptions | undefined {
  const { proxyProtocol } = raw;
  if (proxyProtocol === undefined) bad.add(at('proxy_protocol'), 'unknown version; use none, v1 or v2');
  if (proxyProtocol === 'v1' && (protocol === 'udp' || protocol === 'tcp+udp'))
    bad.add(at('proxy_protocol'), `version 1 of the PROXY protocol knows TCP only and the listener takes ${protocol}; use v2`);
  const numbers: Partial<Record<NumberKey, number>> = {};
  for (const key of NUMBERS) {
    const { field, most, seconds, of } = RELAY_NUMBERS[key];
    const value = raw[key];
    if (value === 0) continue;
    if (!Number.isInteger(value) || value < 1 || value > most)
      bad.add(
        at(field),
        `${value} is not allowed; write ${seconds ? 'whole seconds' : 'a whole number'} from 1 to ${most}, or leave it out`,
      );
    else if ((of === 'tcp' && protocol === 'udp') || (of === 'udp' && protocol === 'tcp'))
      bad.add(at(field), `is about ${of.toUpperCase()}, which the listener does not take; leave it out`);
    else numbers[key] = value;
  }
  const options: RelayOptions = {
    ...(proxyProtocol === 'v1' || proxyProtocol === 'v2' ? { proxyProtocol } : {}),
    ...numbers,
  };
  return Object.keys(options).length === 0 ? undefined : options;
}
