import { accessSync, chmodSync, constants, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';

/**
 * Makes the data directory where it is missing, and claims it for this process: two control planes on one directory would end
 * each other's database. The claim is a pid with its start time, so that a pid used again by something else does not count.
 */
export function claimDataDir(dir: string): void {
  try {
    // 0711: the embedded database, where it runs as another user, must reach its own directory below.
    makeDirs(dir);
    if (!statSync(dir).isDirectory()) throw new Error('it is not a directory');
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw problem(
      'DATA_DIR_UNUSABLE',
      `cannot use --data-dir ${dir}: ${(cause as Error).message}; name a directory that this user may write to`,
    );
  }
  const claim = join(dir, 'control.pid');
  const [pid, startTime] = readIfThere(claim).split(' ');
  if (pid && Number(pid) !== process.pid && startTime && startTimeOf(pid) === startTime)
    throw problem(
      'DATA_DIR_IN_USE',
      `--data-dir ${dir} is in use by another control plane (pid ${pid}); stop it first, or name another directory`,
    );
  writeFileSync(claim, `${process.pid} ${startTimeOf('self')}`, { mode: 0o600 });
  chmodSync(claim, 0o600);
}

/** Like mkdir -p. Node's own recursive mode loops for ever below /proc (seen with 24.21). */
function makeDirs(dir: string): void {
  try {
    mkdirSync(dir, { mode: 0o711 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(dir) === dir) throw error;
    makeDirs(dirname(dir));
    mkdirSync(dir, { mode: 0o711 });
  }
}

/** Field 22 of /proc/PID/stat: clock ticks after boot; undefined where there is no such process, or only its zombie. */
function startTimeOf(pid: string): string | undefined {
  const afterName = readIfThere(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ');
  return afterName?.[0] === 'Z' ? undefined : afterName?.[19];
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return '';
    throw error;
  }
}

const problem = (reason: string, message: string): AppError => new AppError({ code: 'FAILED_PRECONDITION', reason, message });
