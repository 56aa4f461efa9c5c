import { endianness } from 'node:os';
import { errno, libcCalls, pointerSize } from '../libc.js';

/** The calls that move datagrams. Addresses of memory are numbers (see {@link Block}); each returns -1 on failure, and `errno` why. */
export interface DatagramCalls {
  recvmmsg(fd: number, messages: number, count: number, flags: number, timeout: number): number;
  sendmmsg(fd: number, messages: number, count: number, flags: number): number;
  send(fd: number, data: number, length: number, flags: number): number;
  errno(): number;
}

/**
 * Throws LIBC_UNAVAILABLE where native calls do not work here, or where messages lie in memory in another way than these files write
 * them: 64 bits, little-endian (x86-64, arm64, riscv64).
 */
export const loadDatagramCalls = libcCalls<DatagramCalls>((func) => {
  if (pointerSize() !== 8 || endianness() !== 'LE') throw new Error(`${process.arch} is not 64 bits, little-endian`);
  return {
    recvmmsg: func('int recvmmsg(int, int64_t, unsigned int, int, int64_t)'),
    sendmmsg: func('int sendmmsg(int, int64_t, unsigned int, int)'),
    send: func('int64_t send(int, int64_t, size_t, int)'),
    errno,
  };
}, 'native calls for datagrams');
