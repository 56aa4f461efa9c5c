import { errno, libcCalls } from '../libc.js';

/** The few calls of the C library that Node.js has no equivalent for. Each returns -1 on failure; {@link Libc.errno} then tells why. */
export interface Libc {
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: Buffer, length: number): number;
  setsockopt(fd: number, level: number, option: number, value: Buffer, length: number): number;
  send(fd: number, data: Buffer, length: number, flags: number): number;
  recv(fd: number, into: Buffer, length: number, flags: number): number;
  /** Waits on a thread of its own; `done` gets what poll(2) returned. */
  poll(fds: Buffer, count: number, timeoutMs: number, done: (result: number) => void): void;
  eventfd(initial: number, flags: number): number;
  close(fd: number): number;
  errno(): number;
}

/** Throws LIBC_UNAVAILABLE where native calls do not work here. */
export const loadLibc = libcCalls<Libc>((func) => {
  const poll = func('int poll(void *, unsigned long, int)');
  return {
    socket: func('int socket(int, int, int)'),
    bind: func('int bind(int, void *, uint32_t)'),
    setsockopt: func('int setsockopt(int, int, int, void *, uint32_t)'),
    send: func('intptr send(int, void *, size_t, int)'),
    recv: func('intptr recv(int, void *, size_t, int)'),
    poll: (fds, count, timeoutMs, done) =>
      poll.async(fds, count, timeoutMs, (error: Error | null, result: number) => done(error ? -1 : result)),
    eventfd: func('int eventfd(unsigned int, int)'),
    close: func('int close(int)'),
    errno,
  };
});
