import { AppError } from '@gwctl/shared/errors/app-error';
import type { FlowSources, FlowTable } from './conntrack.js';
import { refused } from './errno.js';
import { FlowIndex } from './flow-index.js';
import { anyOwnAddress, type Flow, type FlowMatch, isAlive } from './flows.js';
import type { LiveFlows } from './live-flows.js';
import { EINVAL, ENOENT, EOPNOTSUPP } from './native/constants.js';
import { deleteRequest, FlowReader, flowsRequest, narrowRequest } from './netlink/conntrack.js';
import type { Libc } from './netlink/libc.js';
import { NETLINK_NETFILTER } from './netlink/messages.js';
import { NetlinkSocket } from './netlink/socket.js';

/** Up to here each match is asked for by itself, and the kernel filters; above, one list of everything is cheaper. */
const NARROW_LIMIT = 4;
/** How many removals go to the kernel at once; their acknowledgements must fit into what the socket holds. */
const BATCH = 64;
/** What a kernel may say to a filter that it cannot apply. */
const NO_FILTER = new Set([EINVAL, EOPNOTSUPP].map(String));

/**
 * Connection tracking by netlink: every protocol and both families, one list for any number of matches, and removal of exactly those
 * flows that were seen.
 */
export class NetlinkFlows implements FlowTable, LiveFlows {
  readonly #libc: Libc;
  readonly #sources: Pick<FlowSources, 'count' | 'ownAddresses'>;
  #narrow = true;

  constructor(options: { readonly libc: Libc; readonly sources: Pick<FlowSources, 'count' | 'ownAddresses'> }) {
    this.#libc = options.libc;
    this.#sources = options.sources;
  }

  async marked(bit: number): Promise<readonly Flow[]> {
    if (await this.#nothingTracked()) return [];
    const found: Flow[] = [];
    await this.#list([flowsRequest(4, bit), flowsRequest(6, bit)], (listed) => {
      const flow = listed.flow();
      if (flow && (flow.mark & bit) !== 0) found.push(flow);
    });
    return found;
  }

  async remove(wanted: readonly FlowMatch[]): Promise<number> {
    const found = await this.#meeting(wanted, true);
    if (found.length === 0) return 0;
    const requests = found.flatMap((f) => (f.handle ? [deleteRequest(f.family ?? 4, f.handle)] : []));
    const socket = NetlinkSocket.open(this.#libc, NETLINK_NETFILTER);
    try {
      let removed = 0;
      for (let at = 0; at < requests.length; at += BATCH) {
        for (const errno of socket.acknowledged(requests.slice(at, at + BATCH))) {
          if (errno === 0) removed++;
          // It ended by itself meanwhile.
          else if (errno !== ENOENT) throw refused(errno, 'remove a flow');
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      return removed;
    } finally {
      socket.close();
    }
  }

  async among(wanted: readonly FlowMatch[]): Promise<readonly Flow[]> {
    return (await this.#meeting(wanted, false)).filter(isAlive);
  }

  /** `own`: where a match names no address, only flows to the gateway's own. */
  async #meeting(wanted: readonly FlowMatch[], own: boolean): Promise<Flow[]> {
    if (wanted.length === 0 || (await this.#nothingTracked())) return [];
    const ownAddresses = own && wanted.some(anyOwnAddress) ? await this.#sources.ownAddresses() : undefined;
    const meant = (flow: Flow, match: FlowMatch) =>
      !ownAddresses || !anyOwnAddress(match) || ownAddresses.has(flow.original.destination);
    const index = new FlowIndex(wanted);
    const found = new Map<string, Flow>();
    await this.#listFor(wanted, index, (flow) => {
      // Two requests may both list a flow.
      if (flow.handle && index.of(flow).some((m) => meant(flow, m)))
        found.set(`${flow.handle.id} ${flow.handle.tuple.toString('latin1')}`, flow);
    });
    return [...found.values()];
  }

  async #listFor(wanted: readonly FlowMatch[], index: FlowIndex, each: (flow: Flow) => void): Promise<void> {
    const look = (listed: ReturnType<FlowReader['read']> & object) => {
      if (!index.concerns(listed)) return;
      const flow = listed.flow();
      if (flow) each(flow);
    };
    const narrow = this.#narrow && wanted.length <= NARROW_LIMIT ? wanted.map(narrowRequest) : [];
    if (narrow.length > 0 && narrow.every((r) => r !== undefined)) {
      try {
        return await this.#list(narrow, look);
      } catch (error) {
        if (!(error instanceof AppError) || !NO_FILTER.has(error.metadata?.errno ?? '')) throw error;
        this.#narrow = false;
      }
    }
    const families = [...index.families];
    await this.#list(
      families.map((f) => flowsRequest(f)),
      look,
    );
  }

  async #list(requests: readonly Buffer[], each: (listed: ReturnType<FlowReader['read']> & object) => void): Promise<void> {
    const reader = new FlowReader();
    const socket = NetlinkSocket.open(this.#libc, NETLINK_NETFILTER);
    try {
      for (const request of requests)
        await socket.dump(request, (messages) => {
          for (const message of messages) {
            const listed = reader.read(message);
            if (listed) each(listed);
          }
        });
    } finally {
      socket.close();
    }
  }

  /** Merely to ask would load the kernel's part for it into a host that tracks nothing. */
  async #nothingTracked(): Promise<boolean> {
    return ((await this.#sources.count()) ?? 0) === 0;
  }
}
