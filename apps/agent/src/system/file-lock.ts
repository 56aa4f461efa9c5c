import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { AppError } from '@gwctl/shared/errors/app-error';
import { libcCalls } from './libc.js';

const LOCK_EX = 2;
const LOCK_NB = 4;

const loadFlock = libcCalls<(fd: number, operation: number) => number>((func) => func('int flock(int, int)'));

export interface FileLock {
  release(): void;
}

/**
 * Takes an advisory lock (flock(2)) on a file, which is made where it is missing and then names this process. The kernel lets go of it
 * when the process ends, however it ends. Undefined where another process holds it. Throws LIBC_UNAVAILABLE where native calls do not
 * work here.
 */
export function tryLock(path: string): FileLock | undefined {
  const flock = loadFlock();
  // Not truncated before the lock is ours: the file says who holds it.
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    closeSync(fd);
    return undefined;
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`);
  return { release: () => closeSync(fd) };
}

/** Takes the lock, or says who has it. */
export function lockOrExplain(path: string, what: string): FileLock {
  const lock = tryLock(path);
  if (lock) return lock;
  const pid = /^\d+/.exec(readFileSync(path, 'utf8'))?.[0] ?? 'unknown';
  throw new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'AGENT_RUNNING',
    message: `an agent runs with this state directory (pid ${pid}); ${what}`,
    metadata: { pid },
  });
}
