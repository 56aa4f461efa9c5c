import type { LogLevel } from '@gwctl/shared/logging/logger';

/** Where a listener is bound. Port 0 lets the kernel choose. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export type DatabaseConfig =
  | { readonly kind: 'embedded' }
  /** The URL may hold a password: it is never logged, and no error repeats it. */
  | { readonly kind: 'url'; readonly url: string };

/** All that the control plane is told from outside, checked once at start. */
export interface Config {
  /** Absolute. */
  readonly dataDir: string;
  readonly database: DatabaseConfig;
  readonly listen: ListenAddress;
  /** HOST:PORT by which agents and operators reach it; in join strings and in the certificate. Empty: what it listens on. */
  readonly advertise: readonly ListenAddress[];
  readonly http: ListenAddress;
  readonly logLevel: LogLevel;
}

/** Injection token of {@link Config}. */
export const CONFIG = Symbol('Config');

export const formatAddress = (address: ListenAddress): string =>
  `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
