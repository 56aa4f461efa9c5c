import type { ListeningSocket } from '../engine.js';
import type { RelayedForward } from '../types.js';

const nameOf = (transport: string, address: string, port: number): string =>
  `${transport} ${address.includes(':') ? `[${address}]` : address}:${port}`;

/** Every address of a family is one socket to one engine, and one for each address to another. */
const everyAddress = (of: string): string => (of.includes(':') ? '::' : '0.0.0.0');

export const listenerNames = (sockets: readonly ListeningSocket[]): ReadonlySet<string> =>
  new Set(sockets.flatMap((s) => [nameOf(s.transport, s.address, s.port), nameOf(s.transport, everyAddress(s.address), s.port)]));

/** What of a forward should listen and does not. Of both families IPv6 may be missing: there are hosts without it. */
export function deadListeners(forward: RelayedForward, open: ReadonlySet<string>): string[] {
  const { address, families, transports, ports } = forward.listen;
  const at = address?.text ?? (families.includes(4) ? '0.0.0.0' : '::');
  const dead: string[] = [];
  for (const transport of transports)
    for (let port = ports.first; port <= ports.last; port++) {
      const name = nameOf(transport, at, port);
      if (!open.has(name)) dead.push(name);
    }
  return dead;
}
