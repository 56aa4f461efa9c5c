/**
 * As whom PostgreSQL runs. It refuses uid 0, and a directory that others could write to, so:
 * - `self`: an ordinary user simply starts it;
 * - `user`: real root drops to a system user;
 * - `namespace`: root enters a nested user namespace in which the same user has another number. For the "root" of a namespace that maps
 *   no other uid (`unshare --map-root-user`) there is nothing else; for real root it is the way out where the system user is missing or
 *   cannot get at the files, for instance below /root. 65534 (nobody) has an entry in every passwd file, which initdb looks itself up in.
 */
export type RunAs =
  | { readonly kind: 'self' }
  | { readonly kind: 'user'; readonly name: string; readonly uid: number; readonly gid: number }
  /** `because`: why real root does not drop to a system user; undefined where there is none to drop to by design. */
  | { readonly kind: 'namespace'; readonly because?: string };

/** The system user that root drops to, by Debian's and Red Hat's convention. */
const SYSTEM_USER = 'postgres';

export interface Surroundings {
  readonly uid: number;
  /** /proc/self/uid_map. */
  readonly uidMap: string;
  /** /etc/passwd. */
  readonly passwd: string;
  /** Owner of the cluster that is there already: who made it goes on with it. */
  readonly clusterOwner?: number | undefined;
  /** A directory above the programs or the data that only its owner may enter. */
  readonly closed?: string | undefined;
}

export function decideRunAs({ uid, uidMap, passwd, clusterOwner, closed }: Surroundings): RunAs {
  if (uid !== 0) return { kind: 'self' };
  const ranges = uidMap.trim().split('\n');
  const length = Number(ranges[0]?.trim().split(/\s+/)[2]);
  if (ranges.length === 1 && length === 1) return { kind: 'namespace' };
  if (clusterOwner === 0) return { kind: 'namespace', because: 'this cluster was made so' };
  const entry = passwd.split('\n').find((line) => line.startsWith(`${SYSTEM_USER}:`));
  const [, , userId, groupId] = entry?.split(':') ?? [];
  if (userId === undefined || groupId === undefined || Number(userId) === 0)
    return {
      kind: 'namespace',
      because: `this machine has no user "${SYSTEM_USER}" (useradd --system --user-group --no-create-home --shell /usr/sbin/nologin ${SYSTEM_USER})`,
    };
  if (closed !== undefined && clusterOwner === undefined)
    return { kind: 'namespace', because: `user "${SYSTEM_USER}" may not enter ${closed}` };
  return { kind: 'user', name: SYSTEM_USER, uid: Number(userId), gid: Number(groupId) };
}

/** The command line that runs `argv` so. */
export function commandAs(runAs: RunAs, argv: readonly string[]): readonly string[] {
  return runAs.kind === 'namespace' ? ['unshare', '--user', '--map-user=65534', '--map-group=65534', '--', ...argv] : argv;
}
