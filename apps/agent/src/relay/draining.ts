/** Relays that gave up their listeners, found by the names of their sockets. */
import { readdir, rm } from 'node:fs/promises';
import { AppError } from '@gwctl/shared/errors/app-error';
import { type LinkOptions, RelayLink } from './link.js';
import { Patience } from './patience.js';
import { drainingPid, type RelayPaths } from './relay-paths.js';

/** Milliseconds that one of them is waited for before it counts as one that does not answer. */
const WAITED_FOR = 2_000;

/** Process ids, as far as the names of sockets tell: one that was killed leaves its. */
export async function drainingPids(directory: string): Promise<readonly number[]> {
  return (await entriesOf(directory)).flatMap((file) => drainingPid(file) ?? []);
}

/** One that does not answer, or not as it must. */
export interface SilentRelay {
  readonly pid: number;
  /** For people. */
  readonly why: string;
}

/** The relays that drain in one directory, as one agent asks them. One that hangs keeps nobody from asking the others. */
export class DrainingRelays {
  readonly #paths: RelayPaths;
  readonly #options: Omit<LinkOptions, 'socket'>;
  readonly #patience: Patience<number>;
  #pids: readonly number[] = [];

  constructor(paths: RelayPaths, options: Omit<LinkOptions, 'socket'>) {
    this.#paths = paths;
    this.#options = options;
    this.#patience = new Patience({ clock: options.clock, ms: WAITED_FOR });
  }

  /** As last asked. */
  get pids(): readonly number[] {
    return this.#pids;
  }

  /** Of {@link pids}: not waited for until they answer again. */
  get silent(): readonly SilentRelay[] {
    return this.#pids.flatMap((pid) => {
      const why = this.#patience.late.get(pid);
      return why === undefined ? [] : [{ pid, why }];
    });
  }

  /** One more of them than was found so far. */
  add(pid: number): void {
    if (!this.#pids.includes(pid)) this.#pids = [...this.#pids, pid];
  }

  /**
   * Has `ask` speak with each, with all at the same time. Resolves to their process ids once all have been asked, but for those that do
   * not answer. Removes names behind which nobody is any more.
   */
  async each(ask: (link: RelayLink) => Promise<void>): Promise<readonly number[]> {
    const found = new Set(await drainingPids(this.#paths.directory));
    await Promise.all(
      [...found].map((pid) =>
        this.#patience.do(pid, async () => {
          if (!(await this.#askOne(pid, ask))) found.delete(pid);
        }),
      ),
    );
    for (const pid of this.#patience.late.keys()) if (!found.has(pid)) this.#patience.forget(pid);
    this.#pids = [...found];
    return this.#pids;
  }

  /** False where nobody is there. */
  async #askOne(pid: number, ask: (link: RelayLink) => Promise<void>): Promise<boolean> {
    const socket = this.#paths.draining(pid);
    const link = await RelayLink.open({ ...this.#options, socket });
    if (!link) {
      await rm(socket, { force: true });
      return false;
    }
    try {
      await ask(link);
      return true;
    } catch (error) {
      // It came to its end while it was asked.
      if (error instanceof AppError && error.reason === 'RELAY_GONE') return false;
      throw error;
    } finally {
      link.close();
    }
  }
}

async function entriesOf(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
