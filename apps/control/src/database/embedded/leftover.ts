import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@gwctl/shared/logging/logger';

/** Signals in the order of PostgreSQL's shutdown modes (fast, immediate), then force; with the wait after each, in milliseconds. */
const STEPS: readonly (readonly [NodeJS.Signals, number])[] = [
  ['SIGINT', 10_000],
  ['SIGQUIT', 5_000],
  ['SIGKILL', 2_000],
];

/**
 * Ends a PostgreSQL that an earlier control plane left behind when it was killed, and removes a pid file that names a process
 * which is no PostgreSQL of this directory (pids are used again; PostgreSQL itself would refuse to start beside such a file).
 */
export async function endLeftover(dataDir: string, logger: Logger): Promise<void> {
  const pidFile = join(dataDir, 'postmaster.pid');
  const pid = Number((await readOrEmpty(pidFile)).split('\n')[0]);
  if (!Number.isSafeInteger(pid) || pid <= 1) return;
  if (!(await servesDirectory(pid, dataDir))) {
    await rm(pidFile, { force: true });
    return;
  }
  logger.warn({ pid }, 'ending the database that an earlier run left behind');
  await endProcess(pid, () => servesDirectory(pid, dataDir));
}

/** Asks a process to end, ever more firmly, until `alive` says that it is gone. */
export async function endProcess(pid: number, alive: () => Promise<boolean>): Promise<void> {
  for (const [signal, waitMs] of STEPS) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
      throw error;
    }
    for (let waited = 0; waited < waitMs; waited += 20) {
      if (!(await alive())) return;
      await sleep(20);
    }
  }
}

async function servesDirectory(pid: number, dataDir: string): Promise<boolean> {
  const state = /\) (\S)/.exec(await readOrEmpty(`/proc/${pid}/stat`))?.[1];
  if (state === undefined || state === 'Z') return false;
  const argv = (await readOrEmpty(`/proc/${pid}/cmdline`)).split('\0');
  return argv.some((arg, i) => arg === '-D' && argv[i + 1] === dataDir);
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // ESRCH: the process ended between open and read.
    if (code === 'ENOENT' || code === 'ESRCH') return '';
    throw error;
  }
}
