import { type Family, type IpAddress, networkOf } from '@gwctl/shared/domain/ip';
import { addressBytes } from '@gwctl/shared/domain/ip-bytes';
import type { PortRange } from '@gwctl/shared/domain/ports';
import type { PlacedForward, PlacedRelayed } from '../../planner/types.js';

/** What one rule of a listener can match: one protocol, or `all`. */
export type ListenerProtocol = 'tcp' | 'udp' | 'all';

/** A forward's listener for one protocol: what the trees of chains are made of. */
export interface Listener {
  /** Among all listeners of a tree. */
  readonly id: string;
  /** Undefined: of several. */
  readonly forward?: PlacedForward;
  /** The relay has it. */
  readonly relayed?: PlacedRelayed;
  readonly family: Family;
  readonly address?: IpAddress;
  /** The address's hexadecimal digits; empty: every address of the gateway. */
  readonly hex: string;
  readonly protocol: ListenerProtocol;
  /** Undefined: every port. */
  readonly ports?: PortRange;
}

/** One of a single forward. */
export type ForwardListener = Listener & { readonly forward: PlacedForward };

export function listenersOf(forward: PlacedForward): ForwardListener[] {
  const { protocol, ports } = forward.listen;
  const protocols: readonly ListenerProtocol[] = protocol === 'tcp+udp' ? ['tcp', 'udp'] : [protocol];
  return protocols.map((p) => listener(forward, p, ports));
}

/** What the relay listens on in one family. */
export function relayListenersOf(relayed: PlacedRelayed, family: Family): Listener[] {
  const { address, families, transports, ports } = relayed.listen;
  if (!families.includes(family)) return [];
  const at = address ? { address, hex: hexOf(address) } : { hex: '' };
  return transports.map((protocol) => ({ id: `${relayed.key}${protocol}`, relayed, family, ...at, protocol, ports }));
}

/** The part of a listener that carries FTP control connections. */
export function ftpListenerOf(forward: PlacedForward): ForwardListener[] {
  return forward.ftp ? [listener(forward, 'tcp', forward.ftp)] : [];
}

/** Where TCP answers of a forward's targets come from: a listener seen from behind, shared by all forwards with the same target. */
export function answersOf(forward: PlacedForward): Listener[] {
  const { protocol, ports } = forward.listen;
  if (protocol === 'udp') return [];
  return forward.targets.map(({ address, port }) => {
    const width = ports ? ports.last - ports.first : 0;
    const from = port === undefined ? undefined : ({ first: port, last: port + width } as PortRange);
    return {
      id: `${address.text} ${from ? `${from.first}-${from.last}` : ''}`,
      family: forward.family,
      address,
      hex: hexOf(address),
      protocol: 'tcp',
      ...(from ? { ports: from } : {}),
    };
  });
}

/** The target that a whole address belongs to, as a source. */
export function sourceOf(forward: PlacedForward): ForwardListener[] {
  const [target] = forward.targets;
  if (forward.listen.protocol !== 'all' || !target) return [];
  const { address } = target;
  return [{ id: forward.key, forward, family: forward.family, address, hex: hexOf(address), protocol: 'all' }];
}

function listener(forward: PlacedForward, protocol: ListenerProtocol, ports: PortRange | undefined): ForwardListener {
  const { address } = forward.listen;
  return {
    id: `${forward.key}${protocol}`,
    forward,
    family: forward.family,
    ...(address ? { address } : {}),
    hex: address ? hexOf(address) : '',
    protocol,
    ...(ports ? { ports } : {}),
  };
}

/**
 * The steps by which an address is taken apart, in hexadecimal digits. For IPv6 eight steps too, finer towards the end, where hosts of
 * one network differ: nf_tables allows 16 chains in a row.
 */
const STEPS: Readonly<Record<Family, readonly number[]>> = { 4: [1, 2, 3, 4, 5, 6, 7, 8], 6: [12, 16, 24, 28, 29, 30, 31, 32] };
const ADDRESS_STEPS = 8;
/** Levels: 0 address or every address, 1 to 8 the address, then the protocol, then three of four bits of the port each. */
export const PROTOCOL_LEVEL = ADDRESS_STEPS + 1;
export const LEVELS = PROTOCOL_LEVEL + 4;
/** How far right a port is moved to leave what level {@link PROTOCOL_LEVEL} + 1 and so on tell apart. */
const PORT_SHIFTS = [12, 8, 4] as const;

/** What tells listeners apart at a level; undefined: it belongs to several there, and to none. */
export function digitAt({ family, hex, protocol, ports }: Listener, level: number): string | undefined {
  if (level === 0) return hex === '' ? 'w' : 'a';
  if (level < PROTOCOL_LEVEL) return hex.slice(STEPS[family][level - 2] ?? 0, STEPS[family][level - 1]);
  if (level === PROTOCOL_LEVEL) return protocol === 'all' ? undefined : protocol[0];
  const shift = PORT_SHIFTS[level - PROTOCOL_LEVEL - 1];
  if (!ports || shift === undefined) return undefined;
  const first = ports.first >> shift;
  return first === ports.last >> shift ? (first & 15).toString(16) : undefined;
}

/** Names what listeners have in common whose digits before `level` are those of `sample`. At most 20 characters. */
export function prefixName(sample: Listener, level: number): string {
  const { family, hex, protocol, ports } = sample;
  const where = hex === '' ? 'w' : level <= 1 ? 'x' : shortened(hex.slice(0, STEPS[family][Math.min(level, PROTOCOL_LEVEL) - 2]));
  if (level <= PROTOCOL_LEVEL) return where;
  const digits = level - PROTOCOL_LEVEL - 1;
  const port = digits === 0 ? '' : ((ports?.first ?? 0) >> 4).toString(16).padStart(3, '0').slice(0, digits);
  return `${where}${protocol[0]}${port}`;
}

/** The network that listeners have in common whose digits before `level` are those of `sample`. */
export function networkAt(
  { family, address }: Listener,
  level: number,
): { readonly network: string; readonly prefix: number } | undefined {
  const digits = STEPS[family][Math.min(level, PROTOCOL_LEVEL) - 2];
  return address && digits !== undefined ? networkOf(address, digits * 4) : undefined;
}

/** The ports, likewise; undefined: all. */
export function portsAt({ ports }: Listener, level: number): PortRange | undefined {
  const shift = PORT_SHIFTS[level - PROTOCOL_LEVEL - 2];
  if (!ports || shift === undefined) return undefined;
  const first = (ports.first >> shift) << shift;
  return { first, last: first + (1 << shift) - 1 };
}

/** In the order in which their rules stand. */
export function compareListeners(a: Listener, b: Listener): number {
  if (a.hex !== b.hex) return a.hex < b.hex ? -1 : 1;
  if (a.protocol !== b.protocol) return a.protocol < b.protocol ? -1 : 1;
  return (a.ports?.first ?? 0) - (b.ports?.first ?? 0) || (a.id < b.id ? -1 : 1);
}

const hexOf = ({ text }: IpAddress): string => Buffer.from(addressBytes(text)).toString('hex');

/** A chain's name has 28 characters at most. Fifteen digits stand as they are; more as 52 bits of what they hash to. */
function shortened(hex: string): string {
  if (hex.length <= 15) return hex;
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  for (let i = 0; i < hex.length; i++) {
    a = Math.imul(a ^ hex.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ hex.charCodeAt(i), 0x5bd1e995);
    b ^= b >>> 15;
  }
  return `h${(a >>> 0).toString(16).padStart(8, '0')}${(b >>> 12).toString(16).padStart(5, '0')}`;
}
