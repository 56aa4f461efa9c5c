import { chmod, chown, mkdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import { errorCode, PRIVATE_DIR } from './atomic-file.js';

/** Members of this group may ask an agent for its status. */
export const GROUP = 'gwctl';

/** Where an agent keeps what outlives it. */
export interface StateDir {
  readonly path: string;
  /** Snapshot and journal of the desired state. */
  readonly desired: string;
  /** Held while an agent runs. */
  readonly lock: string;
  /** What kernel parameters were before they were changed. */
  readonly sysctl: string;
  readonly run: string;
  readonly socket: string;
}

export function stateDir(path: string): StateDir {
  const dir = resolve(path);
  const run = join(dir, 'run');
  return {
    path: dir,
    desired: join(dir, 'desired'),
    lock: join(dir, 'agent.lock'),
    sysctl: join(dir, 'sysctl.json'),
    run,
    socket: join(run, 'agent.sock'),
  };
}

/** Makes the directory where it is missing. Others may pass through it to the status socket where the group exists, and read nothing. */
export async function makeStateDir(dir: StateDir, gid: number | undefined): Promise<void> {
  try {
    await mkdir(dir.path, { recursive: true, mode: PRIVATE_DIR });
    await chmod(dir.path, gid === undefined ? PRIVATE_DIR : 0o710);
    if (gid !== undefined) await chown(dir.path, -1, gid);
  } catch (cause) {
    throw new AppError({
      code: errorCode(cause) === 'EACCES' || errorCode(cause) === 'EPERM' ? 'PERMISSION_DENIED' : 'FAILED_PRECONDITION',
      reason: 'STATE_DIR_UNUSABLE',
      message: `the state directory ${dir.path} cannot be used: ${errorCode(cause) ?? String(cause)}; run this as root, or name another with --state-dir`,
      cause,
    });
  }
}

/** Makes the directory of the sockets, into which the group may look. */
export async function makeRunDir(dir: StateDir, gid: number | undefined): Promise<void> {
  await mkdir(dir.run, { recursive: true, mode: 0o750 });
  await chmod(dir.run, 0o750);
  if (gid !== undefined) await chown(dir.run, -1, gid);
}

/** Whether somebody may look into the directory at all; throws PERMISSION_DENIED where not. */
export async function requireReadable(dir: StateDir): Promise<void> {
  try {
    await stat(join(dir.path, '.'));
  } catch (cause) {
    if (errorCode(cause) !== 'EACCES') return;
    throw new AppError({
      code: 'PERMISSION_DENIED',
      reason: 'STATE_DIR_DENIED',
      message: `you may not look into ${dir.path}; run this as root`,
      cause,
    });
  }
}

/** The group's id from /etc/group; undefined where there is no such group. */
export async function groupId(name: string): Promise<number | undefined> {
  let groups: string;
  try {
    groups = await readFile('/etc/group', 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  for (const line of groups.split('\n')) {
    const [group, , gid] = line.split(':');
    if (group === name && /^\d+$/.test(gid ?? '')) return Number(gid);
  }
  return undefined;
}
