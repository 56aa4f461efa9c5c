import { MAX_WEIGHT, parseHost } from '@gwctl/shared/domain/forward';
import { parsePort } from '@gwctl/shared/domain/ports';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';
import { formatHost } from '@gwctl/shared/wire/traffic-spec';

/** What --target says. No port: the listener's own ports. */
export interface TargetFlag {
  readonly host: string;
  readonly port?: number;
  /** Share among several targets; absent: 1. */
  readonly weight?: number;
}

/** Reads `192.168.2.122:10022`, `db.example.net`, `[2001:db8::1]:443`, `[2001:db8::1]`, each also with `,weight=3` behind it. */
export function parseTarget(text: string): Result<TargetFlag, string> {
  const [place = '', ...settings] = text.split(',');
  const split = splitHostPort(place);
  if (!split.ok) return split;
  const host = parseHost(split.value.host);
  if (!host.ok) return host;
  const port = split.value.port === undefined ? ok(undefined) : parsePort(split.value.port);
  if (!port.ok) return port;
  const weight = settings.length === 0 ? ok(undefined) : parseWeight(settings, text);
  if (!weight.ok) return weight;
  return ok({
    host: formatHost(host.value),
    ...(port.value === undefined ? {} : { port: port.value }),
    ...(weight.value === undefined ? {} : { weight: weight.value }),
  });
}

function parseWeight(settings: readonly string[], text: string): Result<number, string> {
  const number = settings.length === 1 ? /^weight=(\d{1,5})$/.exec(settings[0] ?? '')?.[1] : undefined;
  const weight = Number(number);
  if (number !== undefined && weight >= 1 && weight <= MAX_WEIGHT) return ok(weight);
  return err(
    `${quote(text)}: only ,weight=N may stand behind a target, N from 1 to ${MAX_WEIGHT}; for instance 10.0.0.31:80,weight=3`,
  );
}

/** The target as the contract takes it. */
export const rawTarget = ({ host, port = 0, weight = 1 }: TargetFlag) => ({ host, port, weight });

/** Parts of `HOST[:PORT]`. An IPv6 address without brackets is refused: its last group could be meant as the port. */
export function splitHostPort(text: string): Result<{ readonly host: string; readonly port?: string }, string> {
  const bracketed = /^\[([^[\]]*:[^[\]]*)\](?::([^:]*))?$/.exec(text);
  if (bracketed) return ok({ host: bracketed[1] ?? '', ...(bracketed[2] === undefined ? {} : { port: bracketed[2] }) });
  const [host = '', port, more] = text.split(':');
  if (more !== undefined)
    return err(`${quote(text)}: an IPv6 address stands in brackets; write [2001:db8::1]:PORT, or [2001:db8::1] without a port`);
  return ok({ host, ...(port === undefined ? {} : { port }) });
}

/** `HOST:PORT`, IPv6 in brackets. */
export function formatHostPort(host: string, port: number | undefined): string {
  const shown = host.includes(':') ? `[${host}]` : host;
  return port === undefined ? shown : `${shown}:${port}`;
}
