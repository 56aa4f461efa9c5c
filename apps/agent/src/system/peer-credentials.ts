import koffi from 'koffi';

/** Who is at the other end of a unix socket, as the kernel recorded it when it connected. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  /** The primary group and all supplementary ones. */
  readonly gids: readonly number[];
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** Since Linux 4.13. */
const SO_PEERGROUPS = 59;
/** More groups than any account has; the kernel answers ERANGE beyond. */
const MOST_GROUPS = 1024;

type GetSockOpt = (fd: number, level: number, option: number, value: Buffer, length: Buffer) => number;

let getsockopt: GetSockOpt | undefined;

const load = (): GetSockOpt => koffi.load('libc.so.6').func('int getsockopt(int, int, int, void *, void *)');

/** Whether {@link peerCredentials} can be asked at all: not where functions of the C library cannot be called. */
export function canNamePeers(): boolean {
  try {
    getsockopt ??= load();
    return true;
  } catch {
    return false;
  }
}

/** Asks the kernel (unix(7), SO_PEERCRED). Throws where it does not say: whoever cannot be named is not let in. */
export function peerCredentials(fd: number): PeerCredentials {
  getsockopt ??= load();
  const credentials = ask(getsockopt, fd, SO_PEERCRED, 12);
  const groups = ask(getsockopt, fd, SO_PEERGROUPS, MOST_GROUPS * 4);
  const gids = new Set([credentials.readUInt32LE(8)]);
  for (let at = 0; at < groups.length; at += 4) gids.add(groups.readUInt32LE(at));
  return { pid: credentials.readInt32LE(0), uid: credentials.readUInt32LE(4), gids: [...gids] };
}

function ask(call: GetSockOpt, fd: number, option: number, bytes: number): Buffer {
  const value = Buffer.alloc(bytes);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes);
  if (call(fd, SOL_SOCKET, option, value, length) !== 0)
    throw new Error(`getsockopt(${option}) on a unix socket failed with errno ${koffi.errno()}`);
  return value.subarray(0, length.readUInt32LE());
}
