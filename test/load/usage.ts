/** What a process and everything below it has used. */
import { readdirSync, readFileSync } from 'node:fs';
import { descendants } from '../lab/processes.js';

const TICKS_A_SECOND = 100;

function file(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    // It has ended: it uses nothing more.
    return '';
  }
}

const family = (pid: number): number[] => [pid, ...descendants(pid).map((d) => d.pid)];

/** Processor seconds, of all threads of what lives, and of children that ended and were waited for. */
export function cpuSeconds(pid: number): number {
  let ticks = 0;
  for (const one of family(pid)) {
    const stat = file(one, 'stat');
    // utime, stime, cutime, cstime (proc(5)), counted from after the name.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks / TICKS_A_SECOND;
}

/** Proportional set size in MiB: pages that several share count once. */
export function memoryMiB(pid: number): number {
  let kib = 0;
  for (const one of family(pid)) kib += Number(/^Pss:\s+(\d+) kB$/m.exec(file(one, 'smaps_rollup'))?.[1] ?? 0);
  return kib / 1024;
}

/** Descriptors that a process may have open. */
export const descriptorLimit = (pid: number): number => Number(/^Max open files\s+(\d+)/m.exec(file(pid, 'limits'))?.[1] ?? 0);

/** Descriptors that a process has open. */
export const openDescriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;
