import { readdir, readFile, readlink } from 'node:fs/promises';

/** Who holds a socket. */
export interface SocketOwner {
  readonly pid: number;
  /** The program's name as the kernel keeps it, at most 15 characters. */
  readonly comm: string;
}

/** Finds the processes behind sockets. */
export interface SocketOwners {
  /** By inode; those of processes that we may not look into, or that are gone, are left out. */
  find(inodes: ReadonlySet<number>): Promise<ReadonlyMap<number, SocketOwner>>;
}

/**
 * Looks through the open files of all processes: some ten milliseconds on a busy host, so an answer is remembered for as long as the
 * socket is asked for, also that nobody could be found.
 */
export class ProcSocketOwners implements SocketOwners {
  readonly #proc: string;
  #known = new Map<number, SocketOwner | undefined>();

  /** `proc`: default /proc. */
  constructor(options: { readonly proc?: string } = {}) {
    this.#proc = options.proc ?? '/proc';
  }

  async find(inodes: ReadonlySet<number>): Promise<ReadonlyMap<number, SocketOwner>> {
    this.#known = new Map([...this.#known].filter(([inode]) => inodes.has(inode)));
    const unknown = new Set([...inodes].filter((i) => !this.#known.has(i)));
    if (unknown.size > 0) {
      const found = await this.#scan(unknown);
      for (const inode of unknown) this.#known.set(inode, found.get(inode));
    }
    return new Map([...this.#known].flatMap(([inode, owner]) => (owner ? [[inode, owner] as const] : [])));
  }

  async #scan(wanted: ReadonlySet<number>): Promise<Map<number, SocketOwner>> {
    const found = new Map<number, SocketOwner>();
    for (const entry of await readdir(this.#proc)) {
      if (!/^\d+$/.test(entry)) continue;
      if (found.size === wanted.size) break;
      for (const inode of await this.#socketsOf(entry))
        if (wanted.has(inode) && !found.has(inode)) found.set(inode, { pid: Number(entry), comm: await this.#commOf(entry) });
    }
    return found;
  }

  async #socketsOf(pid: string): Promise<number[]> {
    const directory = `${this.#proc}/${pid}/fd`;
    const files = await unlessGone(readdir(directory), []);
    const targets = await Promise.all(files.map((f) => unlessGone(readlink(`${directory}/${f}`), '')));
    return targets.flatMap((t) => /^socket:\[(\d+)\]$/.exec(t)?.[1] ?? []).map(Number);
  }

  async #commOf(pid: string): Promise<string> {
    return (await unlessGone(readFile(`${this.#proc}/${pid}/comm`, 'utf8'), '')).trim();
  }
}

/** Processes end while they are looked at, and some may not be looked into. */
async function unlessGone<T>(reading: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return otherwise;
    throw error;
  }
}
