import { AppError } from '@gwctl/shared/errors/app-error';
import koffi from 'koffi';

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

let loaded: Libc | undefined;

/** Throws LIBC_UNAVAILABLE where native calls do not work here (no prebuilt binary, another C library). */
export function loadLibc(): Libc {
  loaded ??= load();
  return loaded;
}

function load(): Libc {
  try {
    const libc = koffi.load('libc.so.6');
    const poll = libc.func('int poll(void *, unsigned long, int)');
    return {
      socket: libc.func('int socket(int, int, int)'),
      bind: libc.func('int bind(int, void *, uint32_t)'),
      setsockopt: libc.func('int setsockopt(int, int, int, void *, uint32_t)'),
      send: libc.func('intptr send(int, void *, size_t, int)'),
      recv: libc.func('intptr recv(int, void *, size_t, int)'),
      poll: (fds, count, timeoutMs, done) =>
        poll.async(fds, count, timeoutMs, (error: Error | null, result: number) => done(error ? -1 : result)),
      eventfd: libc.func('int eventfd(unsigned int, int)'),
      close: libc.func('int close(int)'),
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

/** For a call that returned -1. */
export function callFailed(libc: Libc, call: string): AppError {
  return new AppError({
    code: 'UNAVAILABLE',
    reason: 'SYSTEM_CALL_FAILED',
    message: `the system call ${call} failed with errno ${libc.errno()}`,
  });
}
