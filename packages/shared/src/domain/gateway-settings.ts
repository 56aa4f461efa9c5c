import { parseIp } from './ip.js';
import { parsePort } from './ports.js';
import { err, ok, quote, type Result, type Violation, ViolationList } from './result.js';

export type DriftPolicy = 'repair' | 'report';

/** What holds for all of one gateway. */
export interface GatewaySettings {
  readonly driftPolicy: DriftPolicy;
  /** `ADDRESS:PORT` or `[ADDRESS]:PORT`; empty: those of the host's /etc/resolv.conf. */
  readonly resolvers: readonly string[];
  /** Seconds, at least 1. */
  readonly dnsMinTtl: number;
  /** Seconds, not below {@link dnsMinTtl}. */
  readonly dnsMaxTtl: number;
}

export const DEFAULT_SETTINGS: GatewaySettings = { driftPolicy: 'repair', resolvers: [], dnsMinTtl: 5, dnsMaxTtl: 300 };

/** As mappers take it from the wire: 0 stands for the default. */
export interface RawGatewaySettings {
  readonly driftPolicy: DriftPolicy | undefined;
  readonly resolvers: readonly string[];
  readonly dnsMinTtl: number;
  readonly dnsMaxTtl: number;
}

export const MAX_RESOLVERS = 8;
const MOST_MIN_TTL = 3600;
const MOST_MAX_TTL = 86_400;

/** Fields in the violations start with `prefix`, for instance `settings.`. */
export function parseGatewaySettings(raw: RawGatewaySettings, prefix = ''): Result<GatewaySettings, readonly Violation[]> {
  const bad = new ViolationList();
  const at = (field: string) => `${prefix}${field}`;
  if (raw.driftPolicy === undefined) bad.add(at('drift_policy'), 'unknown policy; use repair or report');
  if (raw.resolvers.length > MAX_RESOLVERS)
    bad.add(at('resolvers'), `${raw.resolvers.length} servers; at most ${MAX_RESOLVERS} are allowed`);
  const resolvers = raw.resolvers
    .slice(0, MAX_RESOLVERS)
    .flatMap((text, i) => bad.take(at(`resolvers[${i}]`), parseResolver(text)) ?? []);
  const dnsMinTtl = raw.dnsMinTtl === 0 ? DEFAULT_SETTINGS.dnsMinTtl : raw.dnsMinTtl;
  const dnsMaxTtl = raw.dnsMaxTtl === 0 ? Math.max(DEFAULT_SETTINGS.dnsMaxTtl, dnsMinTtl) : raw.dnsMaxTtl;
  if (!Number.isInteger(dnsMinTtl) || dnsMinTtl < 1 || dnsMinTtl > MOST_MIN_TTL)
    bad.add(at('dns_min_ttl_seconds'), `${dnsMinTtl} is not a floor; write a whole number of seconds from 1 to ${MOST_MIN_TTL}`);
  if (!Number.isInteger(dnsMaxTtl) || dnsMaxTtl < 1 || dnsMaxTtl > MOST_MAX_TTL)
    bad.add(
      at('dns_max_ttl_seconds'),
      `${dnsMaxTtl} is not a ceiling; write a whole number of seconds from 1 to ${MOST_MAX_TTL}`,
    );
  else if (dnsMaxTtl < dnsMinTtl)
    bad.add(at('dns_max_ttl_seconds'), `${dnsMaxTtl} is below the floor of ${dnsMinTtl}; raise it or lower the floor`);
  if (bad.items.length > 0 || !raw.driftPolicy) return err(bad.items);
  return ok({ driftPolicy: raw.driftPolicy, resolvers, dnsMinTtl, dnsMaxTtl });
}

/** Reads `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`, and writes it with its port. */
export function parseResolver(text: string): Result<string, string> {
  const example = 'write one like 10.0.0.2, 10.0.0.2:53 or [2001:db8::53]:53';
  const [, bracketed, plain, port = '53'] = /^(?:\[([^\]]+)\]|([^:]+|[^:]*:[^:]*:.*?))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const bare = parseIp(text);
  const address = bare.ok ? bare : parseIp(bracketed ?? plain ?? '');
  const number = bare.ok ? ok(53) : parsePort(Number(port));
  if (!address.ok || !number.ok) return err(`${quote(text)} is not a DNS server; ${example}`);
  const { family, text: canonical } = address.value;
  return ok(family === 6 ? `[${canonical}]:${number.value}` : `${canonical}:${number.value}`);
}
