import { type Flow, type FlowMatch, type FlowSources, isAlive, listings, parseFlows } from './conntrack.js';
import { commandFailed, type Exec } from './exec.js';
import { FlowIndex } from './flow-index.js';
import { portsOf } from './flows.js';

/** Tells which flows are alive. */
export interface LiveFlows {
  /** Those flows through which data can still pass that any of `wanted` matches. */
  among(wanted: readonly FlowMatch[]): Promise<readonly Flow[]>;
}

/** Up to here the table is read from /proc: quicker than any process. Above, the program filters. */
const READ_LIMIT = 4096;
/** Up to so many ports the lines are searched for them first. */
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
    const flows = (await this.#read(wanted)) ?? (await this.#list(wanted));
    const index = new FlowIndex(wanted);
    return flows.filter((f) => isAlive(f) && index.of(f).length > 0);
  }

  async #read(wanted: readonly FlowMatch[]): Promise<Flow[] | undefined> {
    const count = await this.#sources.count();
    if (count === undefined || count === 0) return [];
    if (count > READ_LIMIT) return undefined;
    const text = await this.#sources.table();
    return text === undefined ? undefined : parseFlows(linesAbout(text, wanted));
  }

  async #list(wanted: readonly FlowMatch[]): Promise<Flow[]> {
    const lists = await Promise.all(
      listings(wanted).map(async (filter) => {
        const command = { program: 'conntrack', args: ['-L', ...filter] };
        const finished = await this.#exec.run(command);
        if (finished.exitCode !== 0) throw commandFailed(command, finished);
        return parseFlows(finished.stdout);
      }),
    );
    return lists.flat();
  }
}

/** Taking a line apart costs more than looking for a few words in it. */
function linesAbout(text: string, wanted: readonly FlowMatch[]): string {
  const ports = new Set<number>();
  for (const match of wanted) {
    const own = portsOf(match);
    if (own === undefined || own.first !== own.last || ports.size > FILTER_LIMIT) return text;
    ports.add(own.first);
  }
  if (ports.size > FILTER_LIMIT) return text;
  const words = [...ports].map((port) => ` dport=${port} `);
  return text
    .split('\n')
    .filter((line) => words.some((word) => line.includes(word)))
    .join('\n');
}
