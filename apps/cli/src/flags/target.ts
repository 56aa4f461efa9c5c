import { parseHost } from '@gwctl/shared/domain/forward';
import { parsePort } from '@gwctl/shared/domain/ports';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';
import { formatHost } from '@gwctl/shared/wire/traffic-spec';

/** What --target says. No port: the listener's own ports. */
export interface TargetFlag {
  readonly host: string;
  readonly port?: number;
}

/** Reads `192.168.2.122:10022`, `db.example.net`, `[2001:db8::1]:443`, `[2001:db8::1]`. */
export function parseTarget(text: string): Result<TargetFlag, string> {
  const split = splitHostPort(text);
  if (!split.ok) return split;
  const host = parseHost(split.value.host);
  if (!host.ok) return host;
  if (split.value.port === undefined) return ok({ host: formatHost(host.value) });
  const port = parsePort(split.value.port);
  return port.ok ? ok({ host: formatHost(host.value), port: port.value }) : port;
}

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
