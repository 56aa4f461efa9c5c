/** What the lab knows of where it runs. The only reader of the environment besides rootOnly. */

/** `root`: a real root, other users exist. `user`: root of a user namespace in which no other user exists. */
export type LabMode = 'root' | 'user';

/** Real programs that cannot run where an ordinary user is mapped to root, and why. */
export const needsRealRoot = {
  sshd: 'sshd changes to an unprivileged user before and after login; a user namespace with one mapped user has no other',
  wideTransaction:
    'only root of the host itself may send the kernel a transaction of more than net.core.wmem_max bytes (SO_SNDBUFFORCE, netlink(7))',
  tcpdump: 'tcpdump as root becomes another user or sets its groups; a user namespace with one mapped user allows neither',
  otherUsers: 'runs programs as another user of the system; a user namespace with one mapped user has no other',
} as const;
export type RealRootReason = keyof typeof needsRealRoot;

/** @throws Error outside the lab: nothing here may touch the namespaces of the machine itself. */
export function labMode(): LabMode {
  const mode = process.env.GWCTL_LAB;
  if (mode === 'root' || mode === 'user') return mode;
  throw new Error('not inside the lab (GWCTL_LAB is not set): start with "node scripts/enter-lab.mjs -- CMD"');
}

/**
 * The environment of every command in a lab host: small and the same everywhere, so that a test does not depend on
 * the terminal it is started from. Add what a command needs with the `env` option.
 */
export function commandEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const environment: Record<string, string> = { LANG: 'C.UTF-8', GWCTL_LAB: labMode() };
  for (const name of ['PATH', 'HOME', 'USER', 'LOGNAME', 'TERM', 'TMPDIR']) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return { ...environment, ...extra };
}
