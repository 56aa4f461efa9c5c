import {
  EAGAIN,
  ECONNABORTED,
  EINTR,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  EPROTO,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
} from '../../system/native/constants.js';
import { addressTextOf, ipLength, ipOffset, packSocketAddress, portOf } from '../../system/native/socket-address.js';
import { hashAddress } from '../core/address.js';
import { AllowList } from '../core/allow.js';
import { changeOf, mayEnd } from '../core/change.js';
import { proxyHeader } from '../core/proxy-protocol.js';
import type { ForwardCounts } from '../engine.js';
import type { RelayedForward } from '../types.js';
import { SharedLimits } from './shared-limits.js';
import type { SharedCounters, SharedOut } from './side.js';
import type { Flow } from './tcp-flow.js';
import type { Gear } from './tcp-gear.js';
import { TcpListener } from './tcp-listener.js';
import { Places } from './tcp-places.js';

/** Connections accepted from one listener in one turn. */
const BATCH = 64;
/** Milliseconds until a forward that rests looks whether it may go on. */
const REST = 50;
/**
 * The most connects of one forward that a worker waits for at a time, and for how many descriptors there is one of them. Further clients
 * wait in the kernel's queue, at no cost: a target that does not answer takes the room of no other.
 */
const [MOST_CONNECTING, FOR_EACH] = [1024, 16];

/** What a forward's flows need of the side that holds it. */
export interface FlowKeeper {
  flow(): Flow;
  spare(flow: Flow): void;
  /** The last flow of a forward that is removed has ended. */
  left(forward: TcpForward): void;
}

/** One forward in one worker: its listeners, its flows, what they counted. */
export class TcpForward {
  readonly uid: string;
  bytes = 0;
  failed = 0;
  places: Places;
  connectTimeout: number;
  idleTimeout: number;
  source: Uint8Array | undefined;
  readonly #gear: Gear;
  readonly #keeper: FlowKeeper;
  readonly #listeners = new Map<number, TcpListener>();
  #forward: RelayedForward;
  #allow: AllowList;
  #limits: SharedLimits;
  #first: Flow | undefined;
  #flows = 0;
  #refused = 0;
  #limited = 0;
  #open = 0;
  #connecting = 0;
  #accepting = true;
  #resting = false;
  #removed = false;

  constructor(gear: Gear, keeper: FlowKeeper, forward: RelayedForward, shared: SharedCounters) {
    this.#gear = gear;
    this.#keeper = keeper;
    this.uid = forward.uid;
    this.#forward = forward;
    this.connectTimeout = forward.connectTimeout;
    this.idleTimeout = forward.tcpIdleTimeout;
    this.source = forward.source && packSocketAddress(forward.source, 0);
    this.#allow = new AllowList(forward.allow);
    this.#limits = new SharedLimits(shared.memory, forward);
    this.places = this.#newPlaces(forward, undefined);
  }

  get open(): number {
    return this.#open;
  }

  /** Carries it as it is now. `mine`: its listening sockets here. */
  set(forward: RelayedForward, mine: readonly SharedOut[], shared: SharedCounters): void {
    const was = this.#forward;
    this.#forward = forward;
    this.connectTimeout = forward.connectTimeout;
    this.idleTimeout = forward.tcpIdleTimeout;
    this.source = forward.source && packSocketAddress(forward.source, 0);
    this.#allow = new AllowList(forward.allow);
    this.places = this.#newPlaces(forward, this.places);
    this.#useLimits(shared, forward);
    this.#listen(mine);
    if (was !== forward && this.#open > 0) this.#change(was, forward);
  }

  /** Unwatches its listeners, for good. Who waits at one has connected already: with what is open it goes on, unless that is cut. */
  remove(cut: boolean): void {
    this.#removed = true;
    if (!cut) this.acceptAll();
    this.#listen([]);
    if (cut) this.abortAll();
    if (this.#open === 0) this.#keeper.left(this);
  }

  accept(accepting: boolean): void {
    this.#accepting = accepting;
    this.#watchListeners();
  }

  abortAll(): void {
    for (const flow of this.flows()) flow.abort();
  }

  /** A copy: flows may end while it is gone through. */
  flows(most = Number.POSITIVE_INFINITY): readonly Flow[] {
    const all: Flow[] = [];
    for (let flow = this.#first; flow && all.length < most; flow = flow.after) all.push(flow);
    return all;
  }

  counts(): ForwardCounts | undefined {
    const { uid, bytes, failed } = this;
    if (this.#came === 0) return undefined;
    const [flows, refused, limited, open] = [this.#flows, this.#refused, this.#limited, this.#open];
    return { uid, bytes, datagrams: 0, flows, refused, limited, failed, open, targets: this.places.counts() };
  }

  /** Accepts what waits at one of its listeners, up to {@link BATCH}. */
  acceptAt(listener: TcpListener): void {
    const { host } = this.#gear;
    for (let i = 0; i < BATCH; i++) {
      // One that is removed takes nobody's room for long.
      if (!this.#removed && this.#crowds(1)) {
        this.#rest();
        return;
      }
      if (!host.descriptors.take(2)) {
        host.descriptors.exhausted();
        return;
      }
      const client = this.#gear.accept(listener.fd, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client >= 0) this.#welcome(client, listener.port);
      else {
        host.descriptors.give(2);
        if (!this.#goesOn()) return;
      }
    }
  }

  /** Accepts what waits at any of its listeners, as long as there is room. */
  acceptAll(): void {
    for (const listener of this.#listeners.values())
      for (let before = Number.NEGATIVE_INFINITY; this.#came - before >= BATCH; ) {
        before = this.#came;
        this.acceptAt(listener);
      }
  }

  /** A connection that was accepted elsewhere, at `port`. */
  adopt(client: number, port: number): void {
    const { libc, host } = this.#gear;
    // One that its client has given up meanwhile has no peer any more.
    if (this.#gear.name(client, 'getpeername') && host.descriptors.take(2)) this.#welcome(client, port);
    else libc.close(client);
  }

  /** What the target is to learn before anything else; undefined: nothing. */
  header(flow: Flow): Uint8Array | undefined {
    const version = this.#forward.proxyProtocol;
    if (!version) return undefined;
    const here = this.#gear.name(flow.client, 'getsockname');
    return proxyHeader(
      version,
      here && {
        transport: 'tcp',
        client: { address: addressTextOf(flow.peer), port: portOf(flow.peer) },
        listener: { address: addressTextOf(here), port: portOf(here) },
      },
    );
  }

  connectEnded(): void {
    this.#connecting -= 1;
  }

  /** Its sockets are closed. */
  flowEnded(flow: Flow): void {
    const { before, after } = flow;
    if (before) before.after = after;
    else this.#first = after;
    if (after) after.before = before;
    flow.before = flow.after = undefined;
    this.#open -= 1;
    flow.limits?.leave(flow.peer, ipOffset(flow.peer), ipLength(flow.peer));
    flow.limits = undefined;
    this.#gear.host.descriptors.give(2);
    this.#keeper.spare(flow);
    if (this.#removed && this.#open === 0) this.#keeper.left(this);
  }

  /** Whether accepting goes on with the next one, after a call that failed. */
  #goesOn(): boolean {
    const errno = this.#gear.libc.errno();
    if (errno === EAGAIN) return false;
    if (errno === EMFILE || errno === ENFILE || errno === ENOBUFS || errno === ENOMEM) {
      this.#gear.host.descriptors.exhausted();
      return false;
    }
    // One that is gone already. Beyond what POSIX lists, Linux passes on what the network reported of a connection before it was
    // accepted (accept(2)).
    return errno >= ECONNABORTED || errno === EPROTO || errno === EINTR;
  }

  get #came(): number {
    return this.#flows + this.#refused + this.#limited;
  }

  #welcome(client: number, port: number): void {
    const peer = this.#gear.address;
    const [at, length] = [ipOffset(peer), ipLength(peer)];
    if (!this.#allow.allows(peer, at, length)) {
      this.#refused += 1;
      this.#turnAway(client);
      return;
    }
    if (this.#limits.enter(peer, at, length)) {
      this.#limited += 1;
      this.#turnAway(client);
      return;
    }
    const flow = this.#keeper.flow();
    flow.forward = this;
    flow.limits = this.#limits;
    flow.peer.set(peer);
    flow.listenPort = port;
    flow.distance = port - this.#forward.listen.ports.first;
    flow.hash = hashAddress(peer, at, length);
    flow.after = this.#first;
    if (this.#first) this.#first.before = flow;
    this.#first = flow;
    this.#flows += 1;
    this.#open += 1;
    this.#connecting += 1;
    flow.begin(client);
  }

  #turnAway(client: number): void {
    this.#gear.abort(client);
    this.#gear.host.descriptors.give(2);
  }

  #newPlaces(forward: RelayedForward, before: Places | undefined): Places {
    const { host, loop } = this.#gear;
    return new Places(forward, before, { now: () => loop.now, changed: (news) => host.changed(forward.uid, news) });
  }

  /** Other memory: each client is to be counted from now on, those that are here too. */
  #useLimits(shared: SharedCounters, forward: RelayedForward): void {
    if (shared.memory === this.#limits.memory) {
      this.#limits.caps = forward;
      return;
    }
    this.#limits = new SharedLimits(shared.memory, forward);
    for (const flow of this.flows()) {
      const [at, length] = [ipOffset(flow.peer), ipLength(flow.peer)];
      flow.limits?.leave(flow.peer, at, length);
      this.#limits.count(flow.peer, at, length);
      flow.limits = this.#limits;
    }
  }

  #listen(mine: readonly SharedOut[]): void {
    const wanted = new Set(mine.map((m) => m.fd));
    for (const [fd, listener] of this.#listeners) {
      if (wanted.has(fd)) continue;
      listener.watch(false);
      this.#listeners.delete(fd);
    }
    for (const socket of mine) {
      if (!this.#listeners.has(socket.fd)) this.#listeners.set(socket.fd, new TcpListener(this.#gear, this, socket));
    }
    this.#watchListeners();
  }

  #watchListeners(): void {
    for (const listener of this.#listeners.values()) listener.watch(this.#accepting && !this.#resting);
  }

  /** `share`: of what it may have. */
  #crowds(share: number): boolean {
    const { most } = this.#gear.descriptors;
    if (this.#connecting >= share * Math.min(MOST_CONNECTING, Math.max(8, most / FOR_EACH))) return true;
    return this.#gear.host.crowds((2 * this.#limits.open) / share);
  }

  /** Too many connects wait for an answer: who comes next waits where it costs nothing. */
  #rest(): void {
    if (this.#resting) return;
    this.#resting = true;
    this.#watchListeners();
    this.#gear.loop.after(REST, () => this.#wake());
  }

  #wake(): void {
    this.#resting = this.#crowds(0.9);
    if (this.#resting) this.#gear.loop.after(REST, () => this.#wake());
    else this.#watchListeners();
  }

  #change(was: RelayedForward, now: RelayedForward): void {
    if (!mayEnd(was, now)) return;
    const change = changeOf(was, now);
    for (const flow of this.flows()) {
      const { peer, place, listenPort } = flow;
      if (!place) continue;
      const { target } = place;
      const ends = change.ends({
        transport: 'tcp',
        client: peer.subarray(ipOffset(peer), ipOffset(peer) + ipLength(peer)),
        listenPort,
        target: { address: target.address.text, port: target.port + flow.distance },
      });
      if (ends) flow.abort();
    }
  }
}
