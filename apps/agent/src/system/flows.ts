import { type Cidr, contains, type Family, parseCidr, parseIp } from '@gwctl/shared/domain/ip';

/** One end of a flow as the kernel's connection tracking shows it. */
export interface Tuple {
  /** Canonical text, as of `IpAddress`. */
  readonly source: string;
  readonly destination: string;
  /** 0 where the protocol has no ports, as both. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** A tracked TCP connection, UDP association, or whatever else the kernel tracks, for instance an exchange of pings. */
export interface Flow {
  /** Default 4. */
  readonly family?: Family;
  /** The number of IANA for every other one: 1 is ICMP. */
  readonly protocol: 'tcp' | 'udp' | number;
  /** For TCP, for instance ESTABLISHED. */
  readonly state?: string;
  /** As the first packet arrived. */
  readonly original: Tuple;
  /** As answers arrive: its source is where the flow really goes. */
  readonly reply: Tuple;
  readonly mark: number;
  /** What names exactly this flow to the kernel; undefined where it was read as text. */
  readonly handle?: FlowHandle;
}

export interface FlowHandle {
  /** The contents of the kernel's attribute CTA_TUPLE_ORIG. */
  readonly tuple: Buffer;
  /** CTA_ID: another for a new flow of the same addresses and ports. */
  readonly id: number;
  /** CTA_ZONE. */
  readonly zone?: number;
}

/** Both ends included. */
export interface Ports {
  readonly first: number;
  readonly last: number;
}

/** Where flows really go. */
export interface FlowTarget {
  readonly address: string;
  /** One port, whatever the listener's. Undefined, without {@link ports}: any. */
  readonly port?: number | undefined;
  /** A flow to the listener's nth port goes to the nth of these. Without ports of the listener: to any of these. */
  readonly ports?: Ports | undefined;
}

/** Which flows are meant: those to a listener, told apart by where they really go. */
export interface FlowMatch {
  /** Default 4. */
  readonly family?: Family;
  /** `any`: every IP protocol. */
  readonly protocol: 'tcp' | 'udp' | 'any';
  /** Undefined: any of the gateway's. */
  readonly address?: string;
  /** Either this or {@link ports}; neither: every port, and what has none. */
  readonly port?: number;
  readonly ports?: Ports;
  /** Only flows that really go there. */
  readonly to?: FlowTarget;
  /** Only flows that really go anywhere else than to any of these, for instance to the listener itself. */
  readonly notTo?: FlowTarget | readonly FlowTarget[];
  /** Only flows from outside these CIDRs. */
  readonly sourcesOutside?: readonly string[];
}

/** The listener's ports; undefined: every port, and what has none. */
export function portsOf(match: Pick<FlowMatch, 'port' | 'ports'>): Ports | undefined {
  return match.port === undefined ? match.ports : { first: match.port, last: match.port };
}

/** Whether a flow is meant, apart from whether its destination is one of the gateway's own addresses. */
export function matches(flow: Flow, match: FlowMatch): boolean {
  const { original } = flow;
  if ((flow.family ?? 4) !== (match.family ?? 4)) return false;
  if (match.protocol !== 'any' && flow.protocol !== match.protocol) return false;
  const port = original.destinationPort;
  const first = match.port ?? match.ports?.first;
  const last = match.port ?? match.ports?.last;
  if (first !== undefined && last !== undefined && (port < first || port > last || port === 0)) return false;
  if (match.address !== undefined && original.destination !== match.address) return false;
  if (match.to && !goesTo(flow, match.to, first)) return false;
  if (match.notTo && targets(match.notTo).some((t) => goesTo(flow, t, first))) return false;
  return match.sourcesOutside === undefined || !within(original.source, match.sourcesOutside);
}

function goesTo({ original, reply }: Flow, { address, port, ports }: FlowTarget, listened: number | undefined): boolean {
  if (reply.source !== address) return false;
  if (port !== undefined) return reply.sourcePort === port;
  if (ports === undefined) return true;
  if (listened === undefined) return reply.sourcePort >= ports.first && reply.sourcePort <= ports.last;
  return reply.sourcePort === ports.first + original.destinationPort - listened;
}

const targets = (one: FlowTarget | readonly FlowTarget[]): readonly FlowTarget[] => ('address' in one ? [one] : one);

/** Parsed once for each list: one is asked about every flow of a long table. */
const parsedLists = new WeakMap<readonly string[], readonly Cidr[]>();

function within(address: string, cidrs: readonly string[]): boolean {
  const ip = parseIp(address);
  if (!ip.ok) return false;
  let parsed = parsedLists.get(cidrs);
  if (!parsed) {
    parsed = cidrs.flatMap((text) => {
      const cidr = parseCidr(text);
      return cidr.ok ? [cidr.value] : [];
    });
    parsedLists.set(cidrs, parsed);
  }
  return parsed.some((cidr) => contains(cidr, ip.value));
}

/** Whether data can still pass. A TCP connection that is not yet or no longer open is only remembered for a while. */
export const isAlive = (flow: Flow): boolean =>
  flow.protocol !== 'tcp' || ['ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT'].includes(flow.state ?? '');

/** Whether the gateway's addresses tell which flows are meant. What goes elsewhere may only pass by. */
export const anyOwnAddress = (match: FlowMatch): boolean => match.address === undefined && match.to === undefined;
