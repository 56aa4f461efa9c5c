import { parseHost } from '@gwctl/shared/domain/forward';
import { parsePort } from '@gwctl/shared/domain/ports';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';
import { formatHost } from '@gwctl/shared/wire/traffic-spec';
import { formatHostPort, splitHostPort } from './target.js';

/** Where a control plane listens. */
export interface Server {
  readonly host: string;
  readonly port: number;
  /** `HOST:PORT`, IPv6 in brackets. */
  readonly text: string;
}

/** Reads `control.example.net:7443`. Nothing but a host and a port, so that no other scheme of gRPC's resolvers gets in. */
export function parseServer(text: string): Result<Server, string> {
  const split = splitHostPort(text);
  if (!split.ok) return split;
  if (split.value.port === undefined)
    return err(`${quote(text)} names no port; write HOST:PORT, for instance control.example.net:7443`);
  const host = parseHost(split.value.host);
  if (!host.ok) return err(`${quote(text)} is not HOST:PORT; write one like control.example.net:7443`);
  const port = parsePort(split.value.port);
  if (!port.ok) return port;
  const name = formatHost(host.value);
  return ok({ host: name, port: port.value, text: formatHostPort(name, port.value) });
}
