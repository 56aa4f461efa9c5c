import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process as /proc shows it. `started` (clock ticks since boot) tells it from a later one with the same number. */
export interface ProcessEntry {
  pid: number;
  parent: number;
  started: number;
  command: string;
}

/** Errors of /proc that mean: it ended while we looked. */
function gone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ESRCH';
}

function read(pid: number): ProcessEntry | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; the fields after it are fixed (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    return { pid, parent: Number(fields[1]), started: Number(fields[19]), command: command || `[${name}]` };
  } catch (error) {
    if (gone(error)) return undefined;
    throw error;
  }
}

/** All living processes of this process namespace, zombies left out. */
export function allProcesses(): ProcessEntry[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => read(Number(name)))
    .filter((entry) => entry !== undefined);
}

export function isAlive(pid: number, started: number): boolean {
  return read(pid)?.started === started;
}

/** Everything below a process, children of children included. */
export function descendants(pid: number): ProcessEntry[] {
  const all = allProcesses();
  const found: ProcessEntry[] = [];
  const parents = [pid];
  for (let parent = parents.pop(); parent !== undefined; parent = parents.pop()) {
    for (const entry of all) {
      if (entry.parent !== parent) continue;
      found.push(entry);
      parents.push(entry.pid);
    }
  }
  return found;
}

/** Inode of a namespace that a process is in, or undefined once it has ended. */
export function namespaceOf(pid: number, kind: 'net' | 'mnt'): number | undefined {
  try {
    return Number(/\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/ns/${kind}`))?.[1]);
  } catch (error) {
    if (gone(error)) return undefined;
    throw error;
  }
}

/** Signals a process unless it has ended meanwhile. @returns whether it was there */
export function killIfThere(pid: number, signal: NodeJS.Signals = 'SIGKILL'): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (gone(error)) return false;
    throw error;
  }
}

/** Whether a network namespace is mounted somewhere in the mount namespace of a process. */
export function mountsNamespace(pid: number, inode: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(` net:[${inode}] `);
  } catch (error) {
    if (gone(error)) return false;
    throw error;
  }
}
