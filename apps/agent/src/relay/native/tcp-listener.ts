import type { Ready } from './epoll-loop.js';
import { EPOLLEXCLUSIVE, EPOLLIN } from './loop.js';
import type { SharedOut } from './side.js';
import type { Gear } from './tcp-gear.js';

/** Takes the connections that wait at a listener. */
export interface Acceptor {
  acceptAt(listener: TcpListener): void;
}

/** A listening socket of a forward, as one worker watches it. */
export class TcpListener implements Ready {
  readonly fd: number;
  readonly port: number;
  readonly #gear: Gear;
  readonly #forward: Acceptor;
  readonly #events: number;
  #watched = false;

  constructor(gear: Gear, forward: Acceptor, socket: SharedOut) {
    this.#gear = gear;
    this.#forward = forward;
    this.fd = socket.fd;
    this.port = socket.port;
    this.#events = socket.exclusive ? EPOLLIN | EPOLLEXCLUSIVE : EPOLLIN;
  }

  watch(watched: boolean): void {
    if (watched === this.#watched) return;
    this.#watched = watched;
    const { loop, host } = this.#gear;
    if (!watched) loop.unwatch(this.fd);
    else if (!loop.attach(this.fd, this.#events, this)) {
      this.#watched = false;
      host.trouble(`listening on port ${this.port}`, new Error('the kernel has no room to watch one more socket'));
    }
  }

  ready(): void {
    this.#forward.acceptAt(this);
  }
}
