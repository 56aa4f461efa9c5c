import { commandFailed, type Exec } from './exec.js';
import { FlowIndex } from './flow-index.js';
import { parseFlows, protocolNumber } from './flow-text.js';
import { anyOwnAddress, type Flow, type FlowMatch, portsOf } from './flows.js';

export { parseFlows } from './flow-text.js';
export { type Flow, type FlowMatch, type FlowTarget, isAlive, matches, type Tuple } from './flows.js';

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
  /** The host's own addresses, of both families. */
  ownAddresses(): Promise<ReadonlySet<string>>;
}

/** Up to here the table is read from /proc: quicker than any process. Above, the program filters. */
const READ_LIMIT = 4096;
/** Up to here each match is listed by itself; above, one listing of everything is cheaper. */
const FILTER_LIMIT = 4;

/**
 * Removes flows with the program `conntrack`, where the kernel cannot be asked directly. It looks first whether there are any: looking
 * costs 1 ms, the program 12 ms.
 */
export class ConntrackFlows implements FlowTable {
  readonly #exec: Exec;
  readonly #sources: FlowSources;

  constructor(options: { readonly exec: Exec; readonly sources: FlowSources }) {
    this.#exec = options.exec;
    this.#sources = options.sources;
  }

  async marked(bit: number): Promise<readonly Flow[]> {
    const flows = (await this.#read()) ?? (await this.#listMarked(bit));
    return flows.filter((f) => (f.mark & bit) !== 0);
  }

  async remove(wanted: readonly FlowMatch[]): Promise<number> {
    if (wanted.length === 0) return 0;
    const flows = (await this.#read()) ?? (await this.#listFor(wanted));
    if (flows.length === 0) return 0;
    const index = new FlowIndex(wanted);
    const own = wanted.some(anyOwnAddress) ? await this.#sources.ownAddresses() : new Set<string>();
    const commands = new Map<string, readonly string[]>();
    for (const flow of flows) {
      const match = index.of(flow).find((m) => !anyOwnAddress(m) || own.has(flow.original.destination));
      if (!match) continue;
      const args = deleteArguments(flow, match);
      commands.set(args.join(' '), args);
    }
    let removed = 0;
    for (const args of commands.values()) removed += await this.#delete(args);
    return removed;
  }

  async #read(): Promise<Flow[] | undefined> {
    const count = await this.#sources.count();
    if (count === undefined || count === 0) return [];
    if (count > READ_LIMIT) return undefined;
    const text = await this.#sources.table();
    return text === undefined ? undefined : parseFlows(text);
  }

  async #listMarked(bit: number): Promise<Flow[]> {
    const lists = (['ipv4', 'ipv6'] as const).map((word) => this.#list(['-f', word, '--mark', `${bit}/${bit}`]));
    return (await Promise.all(lists)).flat();
  }

  async #listFor(wanted: readonly FlowMatch[]): Promise<Flow[]> {
    return (await Promise.all(listings(wanted).map((l) => this.#list(l)))).flat();
  }

  async #list(filter: readonly string[]): Promise<Flow[]> {
    const command = { program: 'conntrack', args: ['-L', ...filter] };
    const finished = await this.#exec.run(command);
    if (finished.exitCode !== 0) throw commandFailed(command, finished);
    return parseFlows(finished.stdout);
  }

  /** Exit code 1 means both "nothing matched" and "failed"; what it prints tells them apart. */
  async #delete(args: readonly string[]): Promise<number> {
    const command = { program: 'conntrack', args: ['-D', ...args], discardOutput: true };
    const finished = await this.#exec.run(command);
    const deleted = /(\d+) flow entries have been deleted/.exec(finished.stderr)?.[1];
    if (deleted === undefined) throw commandFailed(command, finished);
    return Number(deleted);
  }
}

/** What to list for these: single ports each by itself, where they are few; else everything of a family. */
export function listings(wanted: readonly FlowMatch[]): readonly (readonly string[])[] {
  const each = wanted.map((m): readonly string[] => {
    const ports = portsOf(m);
    const port = ports && ports.first === ports.last && m.protocol !== 'any';
    return ['-f', familyWord(m.family), ...(port ? ['-p', m.protocol, '--orig-port-dst', String(ports.first)] : [])];
  });
  const distinct = new Map(each.map((l) => [l.join(' '), l]));
  if (distinct.size <= FILTER_LIMIT) return [...distinct.values()];
  return [...new Set(wanted.map((m) => familyWord(m.family)))].map((word) => ['-f', word]);
}

const familyWord = (family: Flow['family']): string => (family === 6 ? 'ipv6' : 'ipv4');

/** As few commands as possible for all flows of a match, each naming listener and target: a port alone hits others' flows. */
function deleteArguments(flow: Flow, match: FlowMatch): readonly string[] {
  const { original, reply, protocol } = flow;
  const ported = typeof protocol !== 'number';
  return [
    ...['-f', familyWord(flow.family), '-p', ported ? protocol : String(protocolNumber(protocol))],
    ...['--orig-dst', original.destination, ...(ported ? ['--orig-port-dst', String(original.destinationPort)] : [])],
    ...['--reply-src', reply.source, ...(ported ? ['--reply-port-src', String(reply.sourcePort)] : [])],
    ...(match.sourcesOutside === undefined ? [] : ['--orig-src', original.source]),
  ];
}
