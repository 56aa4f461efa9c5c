import { peerText } from './address.js';

/** Why a connect failed, for people. `code`: errno's name, or `TIMEOUT` where the forward's own time ran out after `ms`. */
export function connectTrouble(target: { readonly address: string; readonly port: number }, code: string, ms?: number): string {
  const name = peerText(target.address, target.port);
  if (code === 'TIMEOUT') return `${name} did not answer within ${ms ?? 0} ms`;
  return `${name} ${WORDS[code] ?? `could not be connected to (${code})`}`;
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses connections; nothing listens there, or a firewall rejects',
  ECONNRESET: 'reset the connection before it was open',
  ETIMEDOUT: 'did not answer',
  EHOSTUNREACH: 'cannot be reached: no host answers for that address',
  ENETUNREACH: 'cannot be reached: there is no route to it',
  EACCES: 'cannot be connected to: a local firewall or policy forbids it',
  EPERM: 'cannot be connected to: a local firewall or policy forbids it',
  EADDRNOTAVAIL: 'cannot be connected to: the source address is not on this gateway, or it has no free port left',
  EADDRINUSE: 'cannot be connected to: the source address has no free port left',
  EMFILE: 'was not connected to: no descriptor is left',
  ENFILE: 'was not connected to: no descriptor is left on this host',
};

/** Whether a failed connect says something about the target, and not about this host. */
export const blamesTarget = (code: string): boolean => !OURS.has(code);

const OURS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EADDRINUSE']);
