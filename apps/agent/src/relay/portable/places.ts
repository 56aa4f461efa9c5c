import { networkInterfaces } from 'node:os';
import type { ListenPlace } from '../core/listen-trouble.js';
import type { RelayedForward } from '../types.js';

/** An address that this host has. */
export interface OwnAddress {
  readonly family: 4 | 6;
  readonly address: string;
}

/** Without link-local ones: they mean something only together with an interface. */
export function ownAddresses(): readonly OwnAddress[] {
  return Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .filter(({ address }) => !address.startsWith('fe80:'))
    .map(({ address, family }) => ({ address, family: family === 'IPv4' ? 4 : 6 }));
}

/** A place that may fail to open without harm: of a wildcard, where this host lacks the family or the address is just gone. */
export interface WantedPlace extends ListenPlace {
  readonly optional: boolean;
}

export const placeKey = ({ transport, address, port, interface: name = '' }: ListenPlace): string =>
  `${transport} ${address} ${port} ${name}`;

/**
 * Where a forward listens. Node.js does not say which of the gateway's addresses a datagram came to, and a reply from another would be
 * taken by nobody, so for every address UDP has a socket for each that there is now (see ownAddresses; it cannot have one for addresses
 * that the host takes without naming them, such as 127.0.0.2).
 */
export function placesOf({ listen }: RelayedForward, own: readonly OwnAddress[]): readonly WantedPlace[] {
  const { address, families, transports, ports, interface: name } = listen;
  const bound = name === undefined ? {} : { interface: name };
  const places: WantedPlace[] = [];
  for (const transport of transports) {
    const everywhere = transport === 'udp' ? own.filter((o) => families.includes(o.family)) : families.map(wildcard);
    const here = address ? [{ address: address.text, optional: false }] : everywhere.map(mayBeMissing(transport));
    for (let port = ports.first; port <= ports.last; port++)
      for (const one of here) places.push({ transport, port, ...one, ...bound });
  }
  return places;
}

export const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

const wildcard = (family: 4 | 6): OwnAddress => ({ family, address: family === 4 ? '0.0.0.0' : '::' });

const mayBeMissing =
  (transport: 'tcp' | 'udp') =>
  ({ address, family }: OwnAddress) => ({ address, optional: transport === 'udp' || family === 6 });
