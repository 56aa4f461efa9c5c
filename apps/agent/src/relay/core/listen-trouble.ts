import type { ListenFailure } from '../engine.js';
import type { Transport } from '../types.js';
import { peerText } from './address.js';

/** Where a listener was to be. */
export interface ListenPlace {
  readonly transport: Transport;
  /** In text; `0.0.0.0` and `::` are every address of a family. */
  readonly address: string;
  readonly port: number;
  readonly interface?: string;
}

/** What errno's name (`code`) of bind, listen or SO_BINDTODEVICE means for people. */
export function listenFailure(place: ListenPlace, code: string): ListenFailure {
  const where = `${peerText(place.address, place.port)}/${place.transport}`;
  switch (code) {
    case 'EADDRINUSE':
      return {
        reason: 'PORT_IN_USE',
        message: `${where} is taken by another program; stop it or choose another port (ss -lnp shows which)`,
      };
    case 'EACCES':
    case 'EPERM':
      return {
        reason: 'PORT_NOT_PERMITTED',
        message: `this process may not listen on ${where}; give it CAP_NET_BIND_SERVICE, lower net.ipv4.ip_unprivileged_port_start, or choose a port from 1024`,
      };
    case 'EADDRNOTAVAIL':
      return {
        reason: 'ADDRESS_UNKNOWN',
        message: `${place.address} is no address of this gateway, so nothing can listen on ${where}`,
      };
    case 'ENODEV':
      return { reason: 'INTERFACE_UNKNOWN', message: `there is no interface ${place.interface ?? ''} to listen on for ${where}` };
    default:
      return { reason: 'LISTEN_FAILED', message: `nothing can listen on ${where}: ${code}` };
  }
}
