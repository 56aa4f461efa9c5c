import { errnoName } from '../../system/errno.js';
import {
  AF_INET,
  AF_INET6,
  EINPROGRESS,
  EMFILE,
  ENFILE,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  SO_ERROR,
  SO_OOBINLINE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../system/native/constants.js';
import { SOCKET_ADDRESS_MAX } from '../../system/native/socket-address.js';
import type { Ready } from './epoll-loop.js';
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from './loop.js';
import type { SharedLimits } from './shared-limits.js';
import type { TcpForward } from './tcp-forward.js';
import type { Gear } from './tcp-gear.js';
import { Half } from './tcp-half.js';
import type { Place } from './tcp-places.js';
import { Timer } from './wheel.js';

const EPOLLPRI = 0x2;
const ALL = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
const STREAM = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
/** Milliseconds after which a connection counts as one that stays: only then its socket is told to keep it alive. */
const YOUNG = 1000;

/**
 * One connection: the client's socket, the one to the target, and the two directions between them. Objects are used again for later
 * connections, so opening one allocates nothing.
 */
export class Flow implements Ready {
  readonly #gear: Gear;
  readonly up = new Half();
  readonly down = new Half();
  /** The client's address, as accept4 gave it. */
  readonly peer = new Uint8Array(SOCKET_ADDRESS_MAX);
  readonly timer: Timer;
  /** Undefined: not in use. */
  forward: TcpForward | undefined = undefined;
  limits: SharedLimits | undefined = undefined;
  client = -1;
  target = -1;
  place: Place | undefined = undefined;
  /** The target that did not answer. */
  tried: Place | undefined = undefined;
  listenPort = 0;
  distance = 0;
  /** A hash of the client's address. */
  hash = 0;
  connecting = false;
  openedAt = 0;
  /** When something last moved. */
  activeAt = 0;
  connectAt = 0;
  #keptAlive = false;
  #repeating = false;
  /** Of the forward's flows. */
  before: Flow | undefined = undefined;
  after: Flow | undefined = undefined;

  constructor(gear: Gear) {
    this.#gear = gear;
    this.timer = new Timer(() => this.#time());
  }

  /** `client`: a socket just accepted, whose descriptor and the target's are taken already. Everything else of the flow is set. */
  begin(client: number): void {
    const { loop } = this.#gear;
    this.client = client;
    this.target = -1;
    this.tried = undefined;
    this.connecting = true;
    this.#keptAlive = false;
    this.openedAt = this.activeAt = loop.now;
    this.up.reset(client, -1, true);
    this.down.reset(-1, client, false);
    this.down.writable = true;
    loop.setTimer(this.timer, loop.now + Math.min(YOUNG, this.forward?.connectTimeout ?? YOUNG));
    if (loop.attach(client, ALL, this)) this.#connect();
    else this.abort();
  }

  ready(events: number, fd: number): void {
    if (fd < 0) this.#repeating = false;
    if (!this.forward) return;
    try {
      if (fd === this.client) this.#clientReady(events);
      else if (fd === this.target) this.#targetReady(events);
      // Ended by what was reported, or still on its way.
      if (!this.forward || this.connecting) return;
      // Bulk waits until those who have little to say were served.
      if (fd >= 0 && (this.up.bulk || this.down.bulk)) this.again();
      else this.#move();
    } catch (error) {
      this.#gear.host.trouble('a TCP connection', error);
      this.abort();
    }
  }

  /** Ends it with a reset on both sides. */
  abort(): void {
    this.#end(true);
  }

  #clientReady(events: number): void {
    if (events & EPOLLERR) {
      this.abort();
      return;
    }
    const { up } = this;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) up.readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLPRI)) this.#note(up, events);
    if (events & EPOLLOUT) this.down.writable = true;
  }

  #targetReady(events: number): void {
    if (this.connecting) {
      if (events & (EPOLLERR | EPOLLHUP)) {
        const code = this.#gear.error(this.target, SOL_SOCKET, SO_ERROR);
        this.#connectFailed(code === 0 ? 'ECONNRESET' : errnoName(code));
        return;
      }
      if (!(events & EPOLLOUT)) return;
      this.#connected();
    } else if (events & EPOLLERR) {
      this.abort();
      return;
    }
    const { down } = this;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) down.readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLPRI)) this.#note(down, events);
    if (events & EPOLLOUT) this.up.writable = true;
  }

  #note(half: Half, events: number): void {
    half.ending = true;
    // The byte that was sent as urgent stays in its place among the others (RFC 6093 section 3), and is passed on with them.
    if (events & EPOLLPRI) this.#gear.setOption(half.from, SOL_SOCKET, SO_OOBINLINE, 1);
  }

  #move(): void {
    const { pump, loop } = this.#gear;
    const { up, down } = this;
    const [upBefore, downBefore] = [up.bytes, down.bytes];
    const upwards = pump.run(up, down.ended);
    const downwards = upwards === 'failed' ? 'failed' : pump.run(down, up.ended);
    const [upMoved, downMoved] = [up.bytes - upBefore, down.bytes - downBefore];
    if (upMoved + downMoved > 0) {
      this.activeAt = loop.now;
      if (this.forward) this.forward.bytes += upMoved + downMoved;
    }
    if (downwards === 'failed') this.abort();
    else if (up.closed && down.closed) this.#end(false);
    else {
      if (upwards === 'more' || downwards === 'more') this.again();
      this.#gear.rests.turned(up, upMoved, downMoved, this);
      this.#gear.rests.turned(down, downMoved, upMoved, this);
    }
  }

  /** Has it take a further turn. */
  again(): void {
    if (this.#repeating) return;
    this.#repeating = true;
    this.#gear.loop.repeat(this);
  }

  #connect(): void {
    const { forward } = this;
    const place = forward?.places.pick(this.hash, this.tried);
    if (!forward || !place) {
      this.#giveUp();
      return;
    }
    const { libc, loop } = this.#gear;
    const v4 = place.address[0] === AF_INET;
    this.place = place;
    this.connectAt = loop.now;
    this.target = libc.socket(v4 ? AF_INET : AF_INET6, STREAM, 0);
    if (this.target < 0) {
      this.#connectFailed(errnoName(this.#outOfDescriptors(libc.errno())));
      return;
    }
    if (forward.source && forward.source[0] === place.address[0] && !this.#bind(forward.source)) {
      this.#connectFailed(errnoName(libc.errno()));
      return;
    }
    const address = place.at(this.distance);
    const done = libc.connect(this.target, address, address.length);
    if (done < 0 && libc.errno() !== EINPROGRESS) {
      this.#connectFailed(errnoName(libc.errno()));
      return;
    }
    if (!loop.attach(this.target, ALL, this)) {
      this.#connectFailed(errnoName(libc.errno()));
      return;
    }
    this.up.to = this.target;
    this.down.from = this.target;
  }

  /** The kernel chooses the port at connect, when it knows the target too: one port can then serve for many targets (kernel 4.2). */
  #bind(source: Uint8Array): boolean {
    this.#gear.setOption(this.target, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return this.#gear.libc.bind(this.target, source, source.length) === 0;
  }

  #outOfDescriptors(errno: number): number {
    if (errno === EMFILE || errno === ENFILE) this.#gear.host.descriptors.exhausted();
    return errno;
  }

  #connected(): void {
    const { forward, place } = this;
    this.connecting = false;
    if (!forward || !place) return;
    forward.connectEnded();
    place.open += 1;
    if (this.#gear.loop.now >= place.measureAt) forward.places.succeeded(place, this.#gear.roundTrip(this.target));
    const header = forward.header(this);
    // Nothing was sent yet, so there is room for it.
    if (header && this.#gear.pump.begin(this.up, header) === 'failed') this.abort();
  }

  #connectFailed(code: string): void {
    const { forward, place } = this;
    if (this.target >= 0) this.#close(this.target, false);
    this.target = -1;
    if (!forward || !place) {
      this.#giveUp();
      return;
    }
    forward.places.failed(place, code);
    this.place = undefined;
    if (this.tried) {
      this.#giveUp();
      return;
    }
    this.tried = place;
    this.#connect();
  }

  /** No target could be reached. */
  #giveUp(): void {
    if (this.forward) this.forward.failed += 1;
    this.abort();
  }

  #time(): void {
    const { forward } = this;
    if (!forward) return;
    const { loop } = this.#gear;
    if (this.connecting) {
      const due = this.connectAt + forward.connectTimeout;
      if (loop.now >= due) this.#connectFailed('TIMEOUT');
      if (this.forward && this.connecting) loop.setTimer(this.timer, this.connectAt + forward.connectTimeout);
      return;
    }
    if (!this.#keptAlive) {
      this.#keptAlive = true;
      this.#gear.keepAlive(this.target);
    }
    const due = this.activeAt + forward.idleTimeout;
    if (loop.now >= due) this.abort();
    else loop.setTimer(this.timer, due);
  }

  #end(reset: boolean): void {
    const { forward } = this;
    if (!forward) return;
    const { loop, pump, rests } = this.#gear;
    loop.clearTimer(this.timer);
    pump.drop(this.up);
    pump.drop(this.down);
    rests.ended(this.up);
    rests.ended(this.down);
    if (this.target >= 0) this.#close(this.target, reset && !this.connecting);
    this.#close(this.client, reset);
    if (this.connecting) forward.connectEnded();
    else if (this.place) this.place.open -= 1;
    this.client = this.target = -1;
    this.place = this.tried = undefined;
    this.connecting = false;
    this.forward = undefined;
    forward.flowEnded(this);
  }

  #close(fd: number, reset: boolean): void {
    this.#gear.loop.forget(fd);
    if (reset) this.#gear.abort(fd);
    else this.#gear.libc.close(fd);
  }
}
