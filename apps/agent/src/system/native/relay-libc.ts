import { getSystemErrorName } from 'node:util';
import { AppError } from '@gwctl/shared/errors/app-error';
import koffi from 'koffi';

/**
 * The calls of the C library that the native relay is made of, declared once for a thread. Each returns -1 on failure, and
 * {@link RelayLibc.errno} then tells why. A call takes 0.2 µs more than the same from C, so nothing here allocates: arguments are plain
 * numbers and buffers that the caller keeps. Two of the forms are chosen for that: 32-bit lengths, and splice's offsets as numbers.
 */
export interface RelayLibc {
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  listen(fd: number, backlog: number): number;
  connect(fd: number, address: Uint8Array, length: number): number;
  /** `length`: 4 bytes, in and out. */
  accept4(fd: number, address: Uint8Array | null, length: Uint8Array | null, flags: number): number;
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  getpeername(fd: number, address: Uint8Array, length: Uint8Array): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number): number;
  getsockopt(fd: number, level: number, option: number, into: Uint8Array, length: Uint8Array): number;
  shutdown(fd: number, how: number): number;
  close(fd: number): number;
  recv(fd: number, into: Uint8Array, length: number, flags: number): number;
  send(fd: number, from: Uint8Array, length: number, flags: number): number;
  sendto(fd: number, from: Uint8Array, length: number, flags: number, to: Uint8Array, toLength: number): number;
  /** `messages`: an array of struct mmsghdr (see {@link addressOf}). `timeout`: 0 for none. */
  recvmmsg(fd: number, messages: Uint8Array, count: number, flags: number, timeout: 0): number;
  sendmmsg(fd: number, messages: Uint8Array, count: number, flags: number): number;
  read(fd: number, into: Uint8Array, length: number): number;
  write(fd: number, from: Uint8Array, length: number): number;
  /** `fds`: two 32-bit integers, the end to read from first. */
  pipe2(fds: Uint8Array, flags: number): number;
  /** Offsets are for files; sockets and pipes take 0. */
  splice(from: number, fromOffset: 0, to: number, toOffset: 0, length: number, flags: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  epoll_create1(flags: number): number;
  epoll_ctl(epoll: number, operation: number, fd: number, event: Uint8Array): number;
  epoll_wait(epoll: number, events: Uint8Array, most: number, timeoutMs: number): number;
  eventfd(initial: number, flags: number): number;
  /** `limits`: soft and hard, 64 bits each; 0 where they are not to be set or not wanted. */
  prlimit(pid: number, resource: number, limits: Uint8Array | null, old: Uint8Array | null): number;
  errno(): number;
}

let loaded: RelayLibc | undefined;

/** Throws LIBC_UNAVAILABLE where native calls do not work here (no prebuilt binary, another C library). */
export function loadRelayLibc(): RelayLibc {
  loaded ??= load();
  return loaded;
}

/** Where the bytes lie, for structures that hold pointers. It stays so while the caller keeps `bytes`: a backing store never moves. */
export const addressOf = (bytes: Uint8Array): bigint => koffi.address(bytes);

/** For instance `ECONNREFUSED`. */
export const errnoName = (errno: number): string => getSystemErrorName(-errno);

/** For a call that returned -1 although it should not. */
export function callFailed(libc: RelayLibc, call: string): AppError {
  return new AppError({
    code: 'UNAVAILABLE',
    reason: 'SYSTEM_CALL_FAILED',
    message: `the system call ${call} failed with ${errnoName(libc.errno())}`,
  });
}

function load(): RelayLibc {
  try {
    const libc = koffi.load('libc.so.6');
    return {
      socket: libc.func('int socket(int, int, int)'),
      bind: libc.func('int bind(int, void *, uint32_t)'),
      listen: libc.func('int listen(int, int)'),
      connect: libc.func('int connect(int, void *, uint32_t)'),
      accept4: libc.func('int accept4(int, void *, void *, int)'),
      getsockname: libc.func('int getsockname(int, void *, void *)'),
      getpeername: libc.func('int getpeername(int, void *, void *)'),
      setsockopt: libc.func('int setsockopt(int, int, int, void *, uint32_t)'),
      getsockopt: libc.func('int getsockopt(int, int, int, void *, void *)'),
      shutdown: libc.func('int shutdown(int, int)'),
      close: libc.func('int close(int)'),
      recv: libc.func('intptr recv(int, void *, size_t, int)'),
      send: libc.func('intptr send(int, void *, size_t, int)'),
      sendto: libc.func('intptr sendto(int, void *, size_t, int, void *, uint32_t)'),
      recvmmsg: libc.func('int recvmmsg(int, void *, unsigned int, int, intptr)'),
      sendmmsg: libc.func('int sendmmsg(int, void *, unsigned int, int)'),
      read: libc.func('intptr read(int, void *, size_t)'),
      write: libc.func('intptr write(int, void *, size_t)'),
      pipe2: libc.func('int pipe2(void *, int)'),
      splice: libc.func('intptr splice(int, intptr, int, intptr, size_t, unsigned int)'),
      fcntl: libc.func('int fcntl(int, int, int)'),
      ioctl: libc.func('int ioctl(int, unsigned long, void *)'),
      epoll_create1: libc.func('int epoll_create1(int)'),
      epoll_ctl: libc.func('int epoll_ctl(int, int, int, void *)'),
      epoll_wait: libc.func('int epoll_wait(int, void *, int, int)'),
      eventfd: libc.func('int eventfd(unsigned int, int)'),
      prlimit: libc.func('int prlimit(int, int, void *, void *)'),
      errno: () => koffi.errno(),
    };
  } catch (cause) {
    throw new AppError({
      code: 'FAILED_PRECONDITION',
      reason: 'LIBC_UNAVAILABLE',
      message: `native calls do not work here: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }
}
