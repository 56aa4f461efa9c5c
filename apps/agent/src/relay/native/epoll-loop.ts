import { performance } from 'node:perf_hooks';
import { callFailed } from '../../system/errno.js';
import { EINTR, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD } from '../../system/native/constants.js';
import type { RelayLibc } from '../../system/native/relay-libc.js';
import type { Loop } from './loop.js';
import { type Rest, Rests } from './rests.js';
import { Timer, Wheel } from './wheel.js';

/** Gets what epoll reports of a descriptor. One object may be attached for several, so no connection costs a closure. */
export interface Ready {
  /** `events`: 0 where the loop gives a turn that {@link EpollLoop.repeat} asked for; `fd` is -1 then. */
  ready(events: number, fd: number): void;
}

/** Events taken with one call. */
const BATCH = 256;
/** Milliseconds that those who asked for a further turn get before the loop looks who else is ready. */
const SLICE = 1;
/** 32-bit words of struct epoll_event: packed on x86-64 only (include/uapi/linux/eventpoll.h). */
const [WORDS, FD_AT] = process.arch === 'x64' ? [3, 1] : [4, 2];

/** The loop of one worker thread: an epoll of its own, in which the thread sleeps. */
export class EpollLoop implements Loop {
  now: number;
  readonly #libc: RelayLibc;
  readonly #epoll: number;
  readonly #events = new Int32Array(WORDS * BATCH);
  readonly #eventBytes = new Uint8Array(this.#events.buffer);
  readonly #one = new Int32Array(WORDS);
  readonly #oneBytes = new Uint8Array(this.#one.buffer);
  readonly #handlers: (Ready | undefined)[] = [];
  /** Counted up when a descriptor is let go, so that an event of the old one is not taken for one of a new one with the same number. */
  #generations = new Int32Array(0);
  readonly #wheel: Wheel;
  readonly #rests = new Rests();
  /** Who asked for a further turn. */
  readonly #again: Ready[] = [];
  #running = true;
  readonly #failed: (error: unknown) => void;

  /** `failed`: a handler threw; the loop goes on. */
  constructor(libc: RelayLibc, failed: (error: unknown) => void) {
    this.#libc = libc;
    this.#failed = failed;
    this.#epoll = libc.epoll_create1(EPOLL_CLOEXEC);
    if (this.#epoll < 0) throw callFailed(libc, 'epoll_create1');
    this.now = Math.floor(performance.now());
    this.#wheel = new Wheel(this.now);
  }

  /** `false`: the kernel has no room for one more (fs.epoll.max_user_watches, memory); errno tells. */
  attach(fd: number, events: number, handler: Ready): boolean {
    if (fd >= this.#generations.length) this.#grow(fd);
    this.#handlers[fd] = handler;
    if (this.#control(EPOLL_CTL_ADD, fd, events)) return true;
    this.#handlers[fd] = undefined;
    return false;
  }

  /** For a descriptor that is closed right after and that nobody else holds: closing takes it out of the epoll. */
  forget(fd: number): void {
    this.#handlers[fd] = undefined;
    this.#generations[fd] = ((this.#generations[fd] ?? 0) + 1) | 0;
  }

  /** {@link again} for a handler. */
  repeat(handler: Ready): void {
    this.#again.push(handler);
  }

  watch(fd: number, events: number, ready: (events: number) => void): void {
    if (!this.attach(fd, events, { ready })) throw callFailed(this.#libc, 'epoll_ctl');
  }

  rewatch(fd: number, events: number): void {
    if (!this.#control(EPOLL_CTL_MOD, fd, events)) throw callFailed(this.#libc, 'epoll_ctl');
  }

  unwatch(fd: number): void {
    if (!this.#handlers[fd]) return;
    this.#control(EPOLL_CTL_DEL, fd, 0);
    this.forget(fd);
  }

  after(ms: number, run: () => void): { cancel(): void } {
    const timer = new Timer(run);
    this.setTimer(timer, this.now + ms);
    return { cancel: () => this.#wheel.clear(timer) };
  }

  /** `due`: milliseconds of {@link now}. */
  setTimer(timer: Timer, due: number): void {
    this.#wheel.set(timer, due);
  }

  clearTimer(timer: Timer): void {
    this.#wheel.clear(timer);
  }

  setRest(rest: Rest): void {
    this.#rests.set(rest, performance.now());
  }

  clearRest(rest: Rest): void {
    this.#rests.clear(rest);
  }

  again(run: () => void): void {
    this.#again.push({ ready: () => run() });
  }

  /** Until {@link stop}. */
  run(): void {
    while (this.#running) this.turn();
    this.#libc.close(this.#epoll);
  }

  stop(): void {
    this.#running = false;
  }

  /** One turn: sleeps until something is ready, then serves all of it. */
  turn(): void {
    const timeout = this.#timeout();
    const count = this.#libc.epoll_wait(this.#epoll, this.#eventBytes, BATCH, timeout);
    if (count < 0 && this.#libc.errno() !== EINTR) throw callFailed(this.#libc, 'epoll_wait');
    const now = performance.now();
    this.now = Math.floor(now);
    for (let i = 0; i < count; i++) this.#deliver(i * WORDS);
    this.#rests.turn(now);
    if (this.#again.length > 0) this.#serveAgain();
    this.#wheel.turn(this.now, this.#failed);
  }

  /** Timers are so coarse that a rest may come before them. */
  #timeout(): number {
    if (this.#again.length > 0) return 0;
    const now = performance.now();
    return this.#rests.wait(now) ?? this.#wheel.wait(now) ?? -1;
  }

  /** In the order in which they asked, each once, and for so long only: what else became ready meanwhile comes before the rest of them. */
  #serveAgain(): void {
    const again = this.#again;
    const asked = again.length;
    const until = performance.now() + SLICE;
    let served = 0;
    do {
      const handler = again[served++];
      if (handler) this.#call(handler, 0, -1);
    } while (served < asked && performance.now() < until);
    again.splice(0, served);
  }

  #deliver(at: number): void {
    const events = this.#events;
    const fd = events[at + FD_AT] ?? -1;
    const handler = this.#handlers[fd];
    if (handler && this.#generations[fd] === events[at + FD_AT + 1]) this.#call(handler, events[at] ?? 0, fd);
  }

  #call(handler: Ready, events: number, fd: number): void {
    try {
      handler.ready(events, fd);
    } catch (error) {
      this.#failed(error);
    }
  }

  #control(operation: number, fd: number, events: number): boolean {
    const one = this.#one;
    one[0] = events;
    one[FD_AT] = fd;
    one[FD_AT + 1] = this.#generations[fd] ?? 0;
    return this.#libc.epoll_ctl(this.#epoll, operation, fd, this.#oneBytes) === 0;
  }

  #grow(fd: number): void {
    const wider = new Int32Array(Math.max(1024, this.#generations.length * 2, fd + 1));
    wider.set(this.#generations);
    this.#generations = wider;
    // Without gaps: an array that is written far beyond its end becomes a dictionary.
    while (this.#handlers.length < wider.length) this.#handlers.push(undefined);
  }
}
