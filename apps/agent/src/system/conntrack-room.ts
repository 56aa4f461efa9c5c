import { readFile } from 'node:fs/promises';
import { AppError } from '@gwctl/shared/errors/app-error';
import { refusedFlows, statisticsRequest } from './netlink/conntrack.js';
import { loadLibc } from './netlink/libc.js';
import { NETLINK_NETFILTER } from './netlink/messages.js';
import { NetlinkSocket } from './netlink/socket.js';

/** How much room connection tracking has for more flows. */
export interface ConntrackRoom {
  /** Flows that are tracked. */
  readonly count: number;
  /** How many there may be (nf_conntrack_max). */
  readonly max: number;
  /** Flows that the kernel could not take up within the last {@link RECENT_MS}; undefined where it does not say. */
  readonly refused?: number;
}

/** For how long a refused flow counts as news, in milliseconds. */
export const RECENT_MS = 60_000;

/** What the kernel tells of its connection tracking. */
export interface RoomSources {
  /** Text of /proc/sys/net/netfilter/NAME; undefined where nothing is tracked. */
  setting(name: string): Promise<string | undefined>;
  /** How many flows were ever refused; undefined where the kernel does not say. */
  refused(): Promise<number | undefined>;
}

/** Reads how full the table is, and remembers when flows were last refused. */
export class ConntrackRoomReader {
  readonly #sources: RoomSources;
  readonly #now: () => number;
  /** Each rise: when it was seen, and by how much. */
  #rises: { readonly at: number; readonly by: number }[] = [];
  #last: number | undefined;

  /** `now`: milliseconds since the epoch. */
  constructor(options: { readonly now: () => number; readonly sources?: RoomSources }) {
    this.#now = options.now;
    this.#sources = options.sources ?? kernelSources;
  }

  /** Undefined where nothing is tracked yet. */
  async read(): Promise<ConntrackRoom | undefined> {
    const [count, max] = await Promise.all([
      this.#sources.setting('nf_conntrack_count'),
      this.#sources.setting('nf_conntrack_max'),
    ]);
    if (count === undefined || max === undefined) return undefined;
    const refused = await this.#recentlyRefused();
    return { count: Number(count), max: Number(max), ...(refused === undefined ? {} : { refused }) };
  }

  async #recentlyRefused(): Promise<number | undefined> {
    const refused = await this.#sources.refused();
    if (refused === undefined) return undefined;
    const at = this.#now();
    // Less than before: the counters began anew.
    if (this.#last !== undefined && refused > this.#last) this.#rises.push({ at, by: refused - this.#last });
    this.#last = refused;
    this.#rises = this.#rises.filter((r) => at - r.at < RECENT_MS);
    return this.#rises.reduce((sum, r) => sum + r.by, 0);
  }
}

const kernelSources: RoomSources = {
  async setting(name) {
    try {
      return await readFile(`/proc/sys/net/netfilter/${name}`, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  },
  async refused() {
    try {
      const socket = NetlinkSocket.open(loadLibc(), NETLINK_NETFILTER);
      try {
        let sum = 0;
        await socket.dump(statisticsRequest(), (messages) => {
          sum += refusedFlows(messages);
        });
        return sum;
      } finally {
        socket.close();
      }
    } catch (error) {
      if (error instanceof AppError) return undefined;
      throw error;
    }
  },
};
