import { AppError } from '@gwctl/shared/errors/app-error';

/**
 * As whom PostgreSQL runs. It refuses uid 0, and a directory that others could write to, so:
 * - `self`: an ordinary user simply starts it;
 * - `user`: real root drops to a system user;
 * - `namespace`: "root" of a user namespace that maps no other uid (`unshare --map-root-user`) enters a nested one, in which the
 *   same user has another number. 65534 (nobody) has an entry in every passwd file, which initdb looks itself up in.
 */
export type RunAs =
  | { readonly kind: 'self' }
  | { readonly kind: 'user'; readonly name: string; readonly uid: number; readonly gid: number }
  | { readonly kind: 'namespace' };

/** The system user that root drops to, by Debian's and Red Hat's convention. */
const SYSTEM_USER = 'postgres';

export interface Surroundings {
  readonly uid: number;
  /** /proc/self/uid_map. */
  readonly uidMap: string;
  /** /etc/passwd. */
  readonly passwd: string;
}

export function decideRunAs({ uid, uidMap, passwd }: Surroundings): RunAs {
  if (uid !== 0) return { kind: 'self' };
  const ranges = uidMap.trim().split('\n');
  const length = Number(ranges[0]?.trim().split(/\s+/)[2]);
  if (ranges.length === 1 && length === 1) return { kind: 'namespace' };
  const entry = passwd.split('\n').find((line) => line.startsWith(`${SYSTEM_USER}:`));
  const [, , userId, groupId] = entry?.split(':') ?? [];
  if (userId === undefined || groupId === undefined || Number(userId) === 0)
    throw new AppError({
      code: 'FAILED_PRECONDITION',
      reason: 'NO_DATABASE_USER',
      message: `the embedded PostgreSQL refuses to run as root, and this machine has no user "${SYSTEM_USER}" to run it as. Create one with "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin ${SYSTEM_USER}", or run gwctl-control as an ordinary user, or name a database with --database-url-file`,
    });
  return { kind: 'user', name: SYSTEM_USER, uid: Number(userId), gid: Number(groupId) };
}

/** The command line that runs `argv` so. */
export function commandAs(runAs: RunAs, argv: readonly string[]): readonly string[] {
  return runAs.kind === 'namespace' ? ['unshare', '--user', '--map-user=65534', '--map-group=65534', '--', ...argv] : argv;
}
