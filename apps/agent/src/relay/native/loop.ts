/** What the sides of a native worker (TCP, UDP) build on: one epoll for a thread. */
export interface Loop {
  /** Milliseconds of a clock that only goes on, as of the beginning of this turn. */
  readonly now: number;
  /** `events`: EPOLL bits, level-triggered unless EPOLLET is among them. `ready` gets the bits that epoll reported. */
  watch(fd: number, events: number, ready: (events: number) => void): void;
  rewatch(fd: number, events: number): void;
  /** Before the descriptor is closed. What was already reported of it in this turn is not delivered any more. */
  unwatch(fd: number): void;
  /** Coarse: up to 50 ms late. */
  after(ms: number, run: () => void): { cancel(): void };
  /** Runs again after everybody else who is ready had a turn: how one that has much to do leaves room for others. */
  again(run: () => void): void;
}

/** Bits of epoll_ctl(2). */
export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLRDHUP = 0x2000;
/** Wakes one of several threads that wait for the same socket (kernel 4.5). */
export const EPOLLEXCLUSIVE = 0x10000000;
export const EPOLLET = 0x80000000;
