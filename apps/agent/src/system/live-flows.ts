import { type Flow, type FlowMatch, type FlowSources, isAlive, matches, parseFlows } from './conntrack.js';
import { commandFailed, type Exec } from './exec.js';

/** Tells which flows are alive. */
export interface LiveFlows {
  /** Those flows through which data can still pass that any of `wanted` matches. */
  among(wanted: readonly FlowMatch[]): Promise<readonly Flow[]>;
}

/** Up to here the table is read from /proc: quicker than any process. Above, the program filters. */
const READ_LIMIT = 4096;
/** Up to here each port is listed by itself; above, one listing of everything is cheaper. */
const FILTER_LIMIT = 4;

/** Through /proc/net/nf_conntrack, or the program `conntrack` where the table is long or /proc does not have it. */
export class ConntrackLiveFlows implements LiveFlows {
  readonly #exec: Exec;
  readonly #sources: Pick<FlowSources, 'count' | 'table'>;

  constructor(options: { readonly exec: Exec; readonly sources: Pick<FlowSources, 'count' | 'table'> }) {
    this.#exec = options.exec;
    this.#sources = options.sources;
  }

  async among(wanted: readonly FlowMatch[]): Promise<readonly Flow[]> {
    if (wanted.length === 0) return [];
    const byPort = Map.groupBy(wanted, (m) => m.port);
    const flows = (await this.#read([...byPort.keys()])) ?? (await this.#list(wanted));
    return flows.filter((f) => isAlive(f) && (byPort.get(f.original.destinationPort) ?? []).some((m) => matches(f, m)));
  }

  async #read(ports: readonly number[]): Promise<Flow[] | undefined> {
    const count = await this.#sources.count();
    if (count === undefined || count === 0) return [];
    if (count > READ_LIMIT) return undefined;
    const text = await this.#sources.table();
    return text === undefined ? undefined : parseFlows(linesAbout(text, ports));
  }

  async #list(wanted: readonly FlowMatch[]): Promise<Flow[]> {
    const filters = new Map(
      wanted.map((m) => [`${m.protocol} ${m.port}`, ['-p', m.protocol, '--orig-port-dst', String(m.port)]]),
    );
    const all = filters.size > FILTER_LIMIT ? [[]] : [...filters.values()];
    const lists = await Promise.all(
      all.map(async (filter) => {
        const command = { program: 'conntrack', args: ['-L', '-f', 'ipv4', ...filter] };
        const finished = await this.#exec.run(command);
        if (finished.exitCode !== 0) throw commandFailed(command, finished);
        return parseFlows(finished.stdout);
      }),
    );
    return lists.flat();
  }
}

/** Taking a line apart costs more than looking for a few words in it. */
function linesAbout(text: string, ports: readonly number[]): string {
  if (ports.length > FILTER_LIMIT) return text;
  const words = ports.map((port) => ` dport=${port} `);
  return text
    .split('\n')
    .filter((line) => words.some((word) => line.includes(word)))
    .join('\n');
}
