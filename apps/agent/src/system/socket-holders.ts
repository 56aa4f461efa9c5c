/** Processes that listen on unix sockets, found by what the kernel says of the sockets and not by what anybody says of himself. */
import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { ProcSocketOwners } from './socket-owners.js';

/** A process, told from another one that gets its number later. */
export interface KnownProcess {
  readonly pid: number;
  /** Clock ticks since the host started (proc(5), field 22 of stat). */
  readonly started: string;
}

/** __SO_ACCEPTCON: the socket listens (include/uapi/linux/net.h). */
const LISTENS = 0x10000;

/**
 * The processes that hold a listening unix socket that was bound in `directory` under a name that `isOne` accepts. The kernel keeps the
 * name of the binding, whatever the file is called now. Those that we may not look into are left out.
 */
export async function listenersIn(directory: string, isOne: (name: string) => boolean): Promise<readonly KnownProcess[]> {
  const real = await realDirectory(directory);
  const inodes = real === undefined ? new Set<number>() : await boundIn(real, isOne);
  if (inodes.size === 0) return [];
  const owners = await new ProcSocketOwners().find(inodes);
  const known = await Promise.all([...owners.values()].map(({ pid }) => knownProcess(pid)));
  // Read before it was seen to hold its socket and after: it is the same process, or none.
  const still = new Set([...(await new ProcSocketOwners().find(inodes)).values()].map((o) => o.pid));
  return known.flatMap((process) => (process && still.has(process.pid) ? [process] : []));
}

/**
 * Undefined where there is none, or where all of it has ended and it only waits for its parent to hear of that. As long as one of its
 * threads is on its way out, what the process had open still is.
 */
export async function knownProcess(pid: number): Promise<KnownProcess | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
  // The second field is the program's name in brackets, which may hold anything: the third comes after the last of those.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, threads, started] = [fields[0] ?? 'X', Number(fields[17]), fields[19]];
  const ended = 'ZX'.includes(state) && threads <= 1;
  return ended || started === undefined ? undefined : { pid, started };
}

/** Whether it still runs, and is the one that it was. */
export const runs = async ({ pid, started }: KnownProcess): Promise<boolean> => (await knownProcess(pid))?.started === started;

/** `Num RefCount Protocol Flags Type St Inode Path`, numbers in hexadecimal but for the inode (proc(5)). */
async function boundIn(directory: string, isOne: (name: string) => boolean): Promise<ReadonlySet<number>> {
  const inodes = new Set<number>();
  for (const line of (await readFile('/proc/net/unix', 'utf8')).split('\n').slice(1)) {
    const [, flags, inode, path] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (\/.*)$/.exec(line) ?? [];
    if (path === undefined || (Number.parseInt(flags ?? '', 16) & LISTENS) === 0 || !isOne(basename(path))) continue;
    if ((await realDirectory(dirname(path))) === directory) inodes.add(Number(inode));
  }
  return inodes;
}

async function realDirectory(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (['ENOENT', 'EACCES', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
