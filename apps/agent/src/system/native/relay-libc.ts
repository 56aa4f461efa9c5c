import { errno, libcCalls } from '../libc.js';

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
  read(fd: number, into: Uint8Array, length: number): number;
  write(fd: number, from: Uint8Array, length: number): number;
  /** `fds`: two 32-bit integers, the end to read from first. */
  pipe2(fds: Uint8Array, flags: number): number;
  /** Offsets are for files; sockets and pipes take 0. */
  splice(from: number, fromOffset: 0, to: number, toOffset: 0, length: number, flags: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  epoll_create1(flags: number): number;
  epoll_ctl(epoll: number, operation: number, fd: number, event: Uint8Array): number;
  epoll_wait(epoll: number, events: Uint8Array, most: number, timeoutMs: number): number;
  eventfd(initial: number, flags: number): number;
  /** `limits`: soft and hard, 64 bits each; 0 where they are not to be set or not wanted. */
  prlimit(pid: number, resource: number, limits: Uint8Array | null, old: Uint8Array | null): number;
  errno(): number;
}

/** Throws LIBC_UNAVAILABLE where native calls do not work here. */
export const loadRelayLibc = libcCalls<RelayLibc>((func) => ({
  socket: func('int socket(int, int, int)'),
  bind: func('int bind(int, void *, uint32_t)'),
  listen: func('int listen(int, int)'),
  connect: func('int connect(int, void *, uint32_t)'),
  accept4: func('int accept4(int, void *, void *, int)'),
  getsockname: func('int getsockname(int, void *, void *)'),
  getpeername: func('int getpeername(int, void *, void *)'),
  setsockopt: func('int setsockopt(int, int, int, void *, uint32_t)'),
  getsockopt: func('int getsockopt(int, int, int, void *, void *)'),
  shutdown: func('int shutdown(int, int)'),
  close: func('int close(int)'),
  recv: func('intptr recv(int, void *, size_t, int)'),
  send: func('intptr send(int, void *, size_t, int)'),
  read: func('intptr read(int, void *, size_t)'),
  write: func('intptr write(int, void *, size_t)'),
  pipe2: func('int pipe2(void *, int)'),
  splice: func('intptr splice(int, intptr, int, intptr, size_t, unsigned int)'),
  fcntl: func('int fcntl(int, int, int)'),
  epoll_create1: func('int epoll_create1(int)'),
  epoll_ctl: func('int epoll_ctl(int, int, int, void *)'),
  epoll_wait: func('int epoll_wait(int, void *, int, int)'),
  eventfd: func('int eventfd(unsigned int, int)'),
  prlimit: func('int prlimit(int, int, void *, void *)'),
  errno,
}));
