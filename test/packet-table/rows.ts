import type { ListenerAddress, TransportProtocol } from '../lab/index.js';
import type { WantedEgress, WantedForward } from './gateway-protocol.js';
import { join, type Net } from './net.js';
import type { TableHost } from './topology.js';

/** A packet that is sent, and what becomes of it. */
export interface Row {
  readonly from: TableHost;
  /** Default: as the route says. */
  readonly source?: string;
  /** `icmp`: an echo request, of ICMPv6 where the address is. */
  readonly proto: TransportProtocol | 'icmp';
  readonly to: string;
  /** 0 for icmp. */
  readonly port: number;
  /**
   * Where it arrives and from which source address, as the server there says; or how there was no answer. An echo request is answered
   * by the gateway itself or from beyond it, which the number of hops tells.
   */
  readonly result: { readonly at: string; readonly seenAs: string } | 'timeout' | 'refused' | 'reset' | 'the gateway' | 'beyond';
}

/** Many flows, and which targets they reach. */
export interface Spread {
  readonly from: TableHost;
  readonly sources: readonly string[];
  /** Flows of each source. */
  readonly each: number;
  readonly proto: TransportProtocol;
  readonly to: string;
  readonly port: number;
  /** Each target's share of the flows, within {@link tolerance}. */
  readonly shares: Readonly<Record<string, number>>;
  readonly tolerance: number;
  /** Whether all flows of one source must reach the same target. */
  readonly sticky: boolean;
}

/** Forwards, what the planner says of each, and what packets do while they are in place. */
export interface State {
  readonly name: string;
  /** Whether nftables needs a transaction of thousands of elements for it. */
  readonly wide?: boolean;
  readonly forwards: readonly WantedForward[];
  readonly egresses?: readonly WantedEgress[];
  readonly names?: Readonly<Record<string, readonly string[]>>;
  readonly unhealthy?: readonly string[];
  /** Of forwards and egresses that are not placed: the reason. */
  readonly refused?: Readonly<Record<string, string>>;
  readonly rows: readonly Row[];
  readonly spreads?: readonly Spread[];
}

export const row = (
  from: TableHost,
  proto: Row['proto'],
  to: string,
  port: number,
  result: Row['result'],
  source?: string,
): Row => ({
  from,
  proto,
  to,
  port,
  result,
  ...(source === undefined ? {} : { source }),
});

export const at = (address: string, port: number, seenAs: string) => ({ at: join(address, port), seenAs });

/** A source address as {@link Row} compares it. */
export const peerAddress = (peer: string): string => peer.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');

const both = (address: string, port: number) => (['tcp', 'udp'] as const).map((proto) => ({ proto, address, port }));
const ports = (address: string, first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => both(address, first + i)).flat();

/**
 * What listens in every state: at targets, at clients (for egress) and on the gateway, where there is sshd's place (port 22) and a local
 * service (port 8000). A target answers on the gateway's own ports too, so that it shows whom a packet reached.
 */
export const serversOf = (net: Net): Record<'srv' | 'off' | 'far' | 'cli' | 'dmz' | 'gw', ListenerAddress[]> => ({
  srv: [
    ...both(net.t10, 8443),
    ...both(net.t10, 80),
    ...both(net.t10, 22),
    ...both(net.t10, 8000),
    ...both(net.t20, 5353),
    ...both(net.t20, 53),
    ...both(net.t31, 80),
    ...both(net.t50, 53),
    ...both(net.t50, 80),
    ...both(net.t50, 9999),
    ...ports(net.t20, 5000, 5010),
    ...ports(net.t31, 7000, 7010),
    ...ports(net.t50, 7000, 7010),
  ],
  off: both(net.off, 80),
  far: [...both(net.far, 80), ...both(net.narrow, 80)],
  cli: [net.cli, net.cli3].flatMap((a) => both(a, 8080)),
  dmz: both(net.dmz, 8080),
  gw: [
    { proto: 'tcp', address: net.family === 4 ? '0.0.0.0' : '::', port: 22 },
    { proto: 'tcp', address: net.wan, port: 8000 },
  ],
});
