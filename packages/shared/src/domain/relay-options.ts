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

const MOST = {
  connectTimeout: ['connect_timeout_seconds', 300],
  tcpIdleTimeout: ['tcp_idle_timeout_seconds', 604_800],
  udpIdleTimeout: ['udp_idle_timeout_seconds', 86_400],
  maxConnections: ['max_connections', 1_000_000],
  maxConnectionsPerClient: ['max_connections_per_client', 1_000_000],
} as const;

/** Undefined where nothing is asked for, or where something is wrong, which is in `bad` then. */
export function parseRelayOptions(
  raw: RawRelayOptions,
  bad: ViolationList,
  at: (field: string) => string,
): RelayOptions | undefined {
  const { proxyProtocol } = raw;
  if (proxyProtocol === undefined) bad.add(at('proxy_protocol'), 'unknown version; use none, v1 or v2');
  const numbers: Partial<Record<keyof typeof MOST, number>> = {};
  for (const key of Object.keys(MOST) as (keyof typeof MOST)[]) {
    const [field, most] = MOST[key];
    const value = raw[key];
    if (value === 0) continue;
    if (Number.isInteger(value) && value >= 1 && value <= most) numbers[key] = value;
    else bad.add(at(field), `${value} is not allowed; write a whole number from 1 to ${most}, or leave it out`);
  }
  const options: RelayOptions = {
    ...(proxyProtocol === 'v1' || proxyProtocol === 'v2' ? { proxyProtocol } : {}),
    ...numbers,
  };
  return Object.keys(options).length === 0 ? undefined : options;
}
