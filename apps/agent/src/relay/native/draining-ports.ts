import { fstatSync, readdirSync, readlinkSync } from 'node:fs';
import { readFromProc } from '../../system/socket-reader.js';
import type { WaitingSocket } from '../../system/sockets.js';
import type { RelayedForward } from '../types.js';
import type { OpenSocket } from './listeners.js';
import type { DrainingSocket } from './messages.js';

/** UDP ports on which the relay itself has sockets that no forward has any more, and on which nobody else has one in the way. */
export interface DrainingPorts {
  /** A probe would only find the relay's own. */
  readonly own: ReadonlySet<number>;
  /** New sockets are wanted in every worker: each gives what arrives at old sockets to a forward in the same worker. */
  readonly everywhere: ReadonlySet<number>;
}

export const NONE_DRAINING: DrainingPorts = { own: new Set(), everywhere: new Set() };

export interface DrainingOptions {
  /** Of each worker. */
  readonly ask: () => Promise<readonly (readonly DrainingSocket[])[]>;
  /** The process that left us its sockets and is not over yet; undefined: there is none. */
  readonly predecessor: () => number | undefined;
}

/**
 * Tells the relay's own sockets from those of other programs. A UDP socket stays open as long as clients of a forward that is gone get
 * replies from it, and looks to bind(2) like a program that has the port.
 */
export class Draining {
  readonly #options: DrainingOptions;
  #any = false;

  constructor(options: DrainingOptions) {
    this.#options = options;
  }

  /** Listening sockets were closed, and workers may have kept some of them open. */
  gaveUp(sockets: readonly OpenSocket[]): void {
    this.#any ||= sockets.some((s) => s.transport === 'udp');
  }

  /** Among the ports of this forward. `held`: all sockets that forwards have. */
  async ports(forward: RelayedForward, held: () => Iterable<OpenSocket>): Promise<DrainingPorts> {
    if (!this.#any || !forward.listen.transports.includes('udp')) return NONE_DRAINING;
    const byWorker = await this.#options.ask();
    this.#any = byWorker.some((sockets) => sockets.length > 0);
    const { first, last } = forward.listen.ports;
    const draining = byWorker.flatMap((sockets, worker) => sockets.map((socket) => ({ ...socket, worker })));
    const here = draining.filter(({ port }) => port >= first && port <= last);
    if (here.length === 0) return NONE_DRAINING;
    const inodes = new Set([...here.map((s) => s.inode), ...inodesOf(held(), forward)]);
    const foreign = await foreignPorts(forward, inodes);
    const alone = byWorker.length === 1;
    return {
      own: new Set(here.flatMap(({ port }) => (foreign.has(port) ? [] : [port]))),
      everywhere: new Set(here.flatMap(({ port, worker }) => (alone || worker === port % byWorker.length ? [] : [port]))),
    };
  }

  /** Ports of this forward on which nobody is in the way but a predecessor that drains; undefined where there is none. */
  async predecessors(
    forward: RelayedForward,
    known: DrainingPorts,
    held: () => Iterable<OpenSocket>,
  ): Promise<DrainingPorts | undefined> {
    const pid = this.#options.predecessor();
    if (pid === undefined || !forward.listen.transports.includes('udp')) return undefined;
    const own = (await this.#options.ask()).flatMap((sockets) => sockets.map((s) => s.inode));
    const foreign = await foreignPorts(forward, new Set([...own, ...inodesOf(held(), forward), ...socketsOfProcess(pid)]));
    const { first, last } = forward.listen.ports;
    const all = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    return { own: new Set(all.filter((port) => !foreign.has(port))), everywhere: known.everywhere };
  }
}

/** Where somebody else has a UDP socket that is in the way of the forward. */
async function foreignPorts(forward: RelayedForward, own: ReadonlySet<number>): Promise<ReadonlySet<number>> {
  const sockets = await readFromProc('udp');
  return new Set(sockets.filter((s) => !own.has(s.inode) && inTheWay(forward, s)).map((s) => s.port));
}

/** The kernel's list does not tell of which family a socket for every address is; it is taken for one of both. */
function inTheWay({ listen }: RelayedForward, { address, port }: WaitingSocket): boolean {
  if (port < listen.ports.first || port > listen.ports.last) return false;
  if (!address) return true;
  return listen.address ? listen.address.text === address.text : listen.families.includes(address.family);
}

function* inodesOf(sockets: Iterable<OpenSocket>, { listen }: RelayedForward): Iterable<number> {
  for (const { transport, port, fd } of sockets)
    if (transport === 'udp' && port >= listen.ports.first && port <= listen.ports.last) yield fstatSync(fd).ino;
}

/** None where we may not look: then what it holds counts as another program's. */
function socketsOfProcess(pid: number): readonly number[] {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).flatMap((fd) => inodeIn(`${directory}/${fd}`));
  } catch (error) {
    if (NOT_TO_BE_SEEN.has((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

function inodeIn(link: string): readonly number[] {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(link))?.[1];
    return inode === undefined ? [] : [Number(inode)];
  } catch (error) {
    // It was closed meanwhile.
    if (NOT_TO_BE_SEEN.has((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

const NOT_TO_BE_SEEN: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM']);
