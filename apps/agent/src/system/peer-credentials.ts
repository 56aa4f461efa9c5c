import { callFailed } from './errno.js';
import { errno, libcCalls } from './libc.js';
import { SO_PEERCRED, SO_PEERGROUPS, SOL_SOCKET } from './native/constants.js';

/** Who is at the other end of a unix socket, as the kernel recorded it when it connected. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  /** The primary group and all supplementary ones. */
  readonly gids: readonly number[];
}

/** More groups than any account has; the kernel answers ERANGE beyond. */
const MOST_GROUPS = 1024;

interface Calls {
  getsockopt(fd: number, level: number, option: number, value: Buffer, length: Buffer): number;
  errno(): number;
}

const loadCalls = libcCalls<Calls>((func) => ({ getsockopt: func('int getsockopt(int, int, int, void *, void *)'), errno }));

/** Whether {@link peerCredentials} can be asked at all: not where functions of the C library cannot be called. */
export function canNamePeers(): boolean {
  try {
    loadCalls();
    return true;
  } catch {
    return false;
  }
}

/** Asks the kernel (unix(7), SO_PEERCRED). Throws where it does not say: whoever cannot be named is not let in. */
export function peerCredentials(fd: number): PeerCredentials {
  const credentials = ask(fd, SO_PEERCRED, 12);
  const groups = ask(fd, SO_PEERGROUPS, MOST_GROUPS * 4);
  const gids = new Set([credentials.readUInt32LE(8)]);
  for (let at = 0; at < groups.length; at += 4) gids.add(groups.readUInt32LE(at));
  return { pid: credentials.readInt32LE(0), uid: credentials.readUInt32LE(4), gids: [...gids] };
}

function ask(fd: number, option: number, bytes: number): Buffer {
  const calls = loadCalls();
  const value = Buffer.alloc(bytes);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes);
  if (calls.getsockopt(fd, SOL_SOCKET, option, value, length) !== 0) throw callFailed(calls, `getsockopt(${option})`);
  return value.subarray(0, length.readUInt32LE());
}
