import { contains, parseCidr, parseIp } from '@gwctl/shared/domain/ip';
import { commandFailed, type Exec } from './exec.js';

/** One end of a flow as the kernel's connection tracking shows it. */
export interface Tuple {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** A tracked TCP connection or UDP association over IPv4. */
export interface Flow {
  readonly protocol: 'tcp' | 'udp';
  /** For TCP, for instance ESTABLISHED. */
  readonly state?: string;
  /** As the first packet arrived. */
  readonly original: Tuple;
  /** As answers arrive: its source is where the flow really goes. */
  readonly reply: Tuple;
  readonly mark: number;
}

/** Which flows are meant: those to a listener, told apart by where they really go. */
export interface FlowMatch {
  readonly protocol: 'tcp' | 'udp';
  /** Undefined: any of the gateway's. */
  readonly address?: string;
  readonly port: number;
  /** Only flows that really go there. */
  readonly to?: { readonly address: string; readonly port: number };
  /** Only flows that really go anywhere else, for instance to the listener itself. */
  readonly notTo?: { readonly address: string; readonly port: number };
  /** Only flows from outside these CIDRs. */
  readonly sourcesOutside?: readonly string[];
}

export function matches(flow: Flow, match: FlowMatch): boolean {
  const { original, reply } = flow;
  if (flow.protocol !== match.protocol || original.destinationPort !== match.port) return false;
  if (match.address !== undefined && original.destination !== match.address) return false;
  const goesTo = (where: { readonly address: string; readonly port: number }) =>
    reply.source === where.address && reply.sourcePort === where.port;
  if (match.to && !goesTo(match.to)) return false;
  if (match.notTo && goesTo(match.notTo)) return false;
  return match.sourcesOutside === undefined || !within(original.source, match.sourcesOutside);
}

function within(address: string, cidrs: readonly string[]): boolean {
  const ip = parseIp(address);
  return (
    ip.ok &&
    cidrs.some((text) => {
      const cidr = parseCidr(text);
      return cidr.ok && contains(cidr.value, ip.value);
    })
  );
}

/**
 * Reads what /proc/net/nf_conntrack holds or `conntrack -L` prints: the same but for the family in front. Flows of other protocols
 * and families are left out, lines that do not hold both directions too (the table changes while it is read).
 */
export function parseFlows(text: string): Flow[] {
  const flows: Flow[] = [];
  for (const line of text.split('\n')) {
    const protocol = /^(?:ipv4\s+2\s+)?(tcp|udp)\s/.exec(line)?.[1];
    if (protocol !== 'tcp' && protocol !== 'udp') continue;
    const tuples = [...line.matchAll(/src=([\d.]+) dst=([\d.]+) sport=(\d+) dport=(\d+)/g)].map(
      (m): Tuple => ({ source: m[1] ?? '', destination: m[2] ?? '', sourcePort: Number(m[3]), destinationPort: Number(m[4]) }),
    );
    const [original, reply] = tuples;
    if (!original || !reply) continue;
    const state = /\s\d+ ([A-Z][A-Z_0-9]+) src=/.exec(line)?.[1];
    const mark = / mark=(\d+)/.exec(line)?.[1];
    flows.push({ protocol, ...(state === undefined ? {} : { state }), original, reply, mark: Number(mark ?? 0) });
  }
  return flows;
}

/** Whether data can still pass. A TCP connection that is not yet or no longer open is only remembered for a while. */
export const isAlive = (flow: Flow): boolean =>
  flow.protocol === 'udp' || ['ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT'].includes(flow.state ?? '');

/** What drivers need of the kernel's connection tracking. */
export interface FlowTable {
  /** All flows whose mark has this bit. */
  marked(bit: number): Promise<readonly Flow[]>;
  /** Removes the flows that any of these matches; says how many. */
  remove(matches: readonly FlowMatch[]): Promise<number>;
}

/** What the flow table reads of the host. */
export interface FlowSources {
  /** How many flows are tracked; undefined where the kernel tracks nothing yet. */
  count(): Promise<number | undefined>;
  /** The table as text; undefined where the kernel does not offer it (CONFIG_NF_CONNTRACK_PROCFS). */
  table(): Promise<string | undefined>;
  /** The host's own IPv4 addresses. */
  ownAddresses(): Promise<ReadonlySet<string>>;
}

/** Up to here the table is read from /proc: quicker than any process. Above, the program filters. */
const READ_LIMIT = 4096;
/** Up to here each match is listed by itself; above, one listing of everything is cheaper. */
const FILTER_LIMIT = 4;

/** Removes flows with the program `conntrack`, after looking whether there are any: looking costs 1 ms, the program 12 ms. */
export class ConntrackFlows implements FlowTable {
  readonly #exec: Exec;
  readonly #sources: FlowSources;

  constructor(options: { readonly exec: Exec; readonly sources: FlowSources }) {
    this.#exec = options.exec;
    this.#sources = options.sources;
  }

  async marked(bit: number): Promise<readonly Flow[]> {
    const flows = (await this.#read()) ?? (await this.#list(['--mark', `${bit}/${bit}`]));
    return flows.filter((f) => (f.mark & bit) !== 0);
  }

  async remove(wanted: readonly FlowMatch[]): Promise<number> {
    if (wanted.length === 0) return 0;
    const flows = (await this.#read()) ?? (await this.#listFor(wanted));
    if (flows.length === 0) return 0;
    const commands = new Map<string, readonly string[]>();
    for (const [match, found] of await this.#matching(wanted, flows))
      for (const flow of found) {
        const args = deleteArguments(flow, match);
        commands.set(args.join(' '), args);
      }
    let removed = 0;
    for (const args of commands.values()) removed += await this.#delete(args);
    return removed;
  }

  async #matching(wanted: readonly FlowMatch[], flows: readonly Flow[]): Promise<[FlowMatch, readonly Flow[]][]> {
    const byPort = Map.groupBy(flows, (f) => f.original.destinationPort);
    const own = wanted.some(anyOwnAddress) ? await this.#sources.ownAddresses() : new Set<string>();
    return wanted.map((match) => {
      const found = (byPort.get(match.port) ?? []).filter((f) => matches(f, match));
      return [match, anyOwnAddress(match) ? found.filter((f) => own.has(f.original.destination)) : found];
    });
  }

  async #read(): Promise<Flow[] | undefined> {
    const count = await this.#sources.count();
    if (count === undefined || count === 0) return [];
    if (count > READ_LIMIT) return undefined;
    const text = await this.#sources.table();
    return text === undefined ? undefined : parseFlows(text);
  }

  async #listFor(wanted: readonly FlowMatch[]): Promise<Flow[]> {
    if (wanted.length > FILTER_LIMIT) return this.#list([]);
    const filters = wanted.map((m) => ['-p', m.protocol, '--orig-port-dst', String(m.port)]);
    return (await Promise.all(filters.map((f) => this.#list(f)))).flat();
  }

  async #list(filter: readonly string[]): Promise<Flow[]> {
    const command = { program: 'conntrack', args: ['-L', '-f', 'ipv4', ...filter] };
    const finished = await this.#exec.run(command);
    if (finished.exitCode !== 0) throw commandFailed(command, finished);
    return parseFlows(finished.stdout);
  }

  /** Exit code 1 means both "nothing matched" and "failed"; what it prints tells them apart. */
  async #delete(args: readonly string[]): Promise<number> {
    const command = { program: 'conntrack', args: ['-D', '-f', 'ipv4', ...args], discardOutput: true };
    const finished = await this.#exec.run(command);
    const deleted = /(\d+) flow entries have been deleted/.exec(finished.stderr)?.[1];
    if (deleted === undefined) throw commandFailed(command, finished);
    return Number(deleted);
  }
}

/** What goes elsewhere may only pass by: then the gateway's addresses tell which flows are a wildcard listener's. */
const anyOwnAddress = (match: FlowMatch) => match.address === undefined && match.to === undefined;

/** As few commands as possible for all flows of a match, each naming listener and target: a port alone hits others' flows. */
function deleteArguments(flow: Flow, match: FlowMatch): readonly string[] {
  const { original, reply } = flow;
  return [
    ...['-p', flow.protocol, '--orig-dst', original.destination, '--orig-port-dst', String(original.destinationPort)],
    ...['--reply-src', reply.source, '--reply-port-src', String(reply.sourcePort)],
    ...(match.sourcesOutside === undefined ? [] : ['--orig-src', original.source]),
  ];
}
