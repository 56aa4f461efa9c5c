import type { ListeningSocket } from '../engine.js';
import type { RelayedForward } from '../types.js';

const nameOf = (transport: string, address: string, port: number): string =>
  `${transport} ${address.includes(':') ? `[${address}]` : address}:${port}`;

/** Every address of the gateway is one socket to one engine, and one for each address to another. */
const ANY = '*';

export const listenerNames = (sockets: readonly ListeningSocket[]): ReadonlySet<string> =>
  new Set(sockets.flatMap((s) => [nameOf(s.transport, s.address, s.port), nameOf(s.transport, ANY, s.port)]));

/** What of a forward should listen and does not. */
export function deadListeners(forward: RelayedForward, open: ReadonlySet<string>): string[] {
  const { address, transports, ports } = forward.listen;
  const dead: string[] = [];
  for (const transport of transports)
    for (let port = ports.first; port <= ports.last; port++) {
      const name = nameOf(transport, address?.text ?? ANY, port);
      if (!open.has(name)) dead.push(name);
    }
  return dead;
}
