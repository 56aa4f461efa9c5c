import { endianness } from 'node:os';
import { AppError } from '@gwctl/shared/errors/app-error';
import koffi from 'koffi';

/** The calls that move datagrams. Addresses of memory are numbers (see {@link Block}); each returns -1 on failure, and `errno` why. */
export interface DatagramCalls {
  recvmmsg(fd: number, messages: number, count: number, flags: number, timeout: number): number;
  sendmmsg(fd: number, messages: number, count: number, flags: number): number;
  send(fd: number, data: number, length: number, flags: number): number;
  errno(): number;
}

let loaded: DatagramCalls | undefined;

/**
 * Throws LIBC_UNAVAILABLE where native calls do not work here, or where messages lie in memory in another way than these files write
 * them: 64 bits, little-endian (x86-64, arm64, riscv64).
 */
export function loadDatagramCalls(): DatagramCalls {
  loaded ??= load();
  return loaded;
}

function load(): DatagramCalls {
  try {
    if (koffi.sizeof('void *') !== 8 || endianness() !== 'LE') throw new Error(`${process.arch} is not 64 bits, little-endian`);
    const libc = koffi.load('libc.so.6');
    return {
      recvmmsg: libc.func('int recvmmsg(int, int64_t, unsigned int, int, int64_t)'),
      sendmmsg: libc.func('int sendmmsg(int, int64_t, unsigned int, int)'),
      send: libc.func('int64_t send(int, int64_t, size_t, int)'),
      errno: () => koffi.errno(),
    };
  } catch (cause) {
    throw new AppError({
      code: 'FAILED_PRECONDITION',
      reason: 'LIBC_UNAVAILABLE',
      message: `native calls for datagrams do not work here: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }
}
