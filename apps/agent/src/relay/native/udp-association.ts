import { performance } from 'node:perf_hooks';
import { errnoName } from '../../system/errno.js';
import { EAGAIN, EMSGSIZE, MSG_DONTWAIT, MSG_NOSIGNAL } from '../../system/native/constants.js';
import type { SendBatch } from '../../system/native/send-batch.js';
import { isOfEarlier, type SendOutcome } from '../../system/native/send-outcome.js';
import { hashAddress } from '../core/address.js';
import type { StandingFlow } from '../core/change.js';
import type { RelayTarget } from '../types.js';
import type { Ready } from './epoll-loop.js';
import { EPOLLIN } from './loop.js';
import type { UdpCarrier } from './udp-carrier.js';
import type { UdpGear } from './udp-gear.js';
import { DatagramHeader } from './udp-header.js';
import type { UdpPort } from './udp-port.js';
import type { ReplyReceiver } from './udp-replies.js';
import { openToTarget } from './udp-target-socket.js';
import { Timer } from './wheel.js';

/** Longest first datagram that is kept to be sent to another target, and for how many milliseconds. */
const HELD_BYTES = 1500;
const HELD_TIME = 1000;
/** Milliseconds after which an association is looked at for being idle, at the latest. */
const CHECK_TIME = 30_000;

export interface AssociationOptions {
  readonly gear: UdpGear;
  readonly carrier: UdpCarrier;
  readonly port: UdpPort;
  /** Words as in the table of clients. */
  readonly key: Int32Array;
  /** 4 or 16 bytes. */
  readonly client: Uint8Array;
  readonly clientPort: number;
  /** The gateway's address that the client came to. */
  readonly local: string;
  readonly fd: number;
  readonly target: RelayTarget;
}

/** One client of a listening socket, and the socket by which its target sees it. */
export class UdpAssociation implements Ready, ReplyReceiver, SendOutcome<UdpAssociation> {
  readonly carrier: UdpCarrier;
  readonly port: UdpPort;
  readonly key: Int32Array;
  readonly client: Uint8Array;
  readonly clientPort: number;
  readonly local: string;
  readonly opened: number;
  fd: number;
  target: RelayTarget;
  /** The target's, with the range's distance added. */
  targetPort: number;
  burst = false;
  replyCuttable = true;
  bytesToTarget = 0;
  bytesToClient = 0;
  /** Milliseconds of the loop's clock when something moved last. */
  moved: number;
  /** First and last slot of what came in this batch; -1: none. */
  first = -1;
  last = -1;
  readonly #gear: UdpGear;
  readonly #timer: Timer;
  readonly #header: DatagramHeader | undefined;
  #cuttable = true;
  /** Milliseconds of a fine clock when the datagram went out whose answer will show that the target is well; 0: none is awaited. */
  #asked: number;
  /** The next datagram is such a one. */
  #ask = false;
  #heard = false;
  /** It is counted as one that reached no target. */
  #failed = false;
  /** What the kernel said while a batch was sent; 0: nothing. */
  #errno = 0;
  #held: Uint8Array | undefined;

  constructor(options: AssociationOptions) {
    const { gear, carrier, port, key, client, clientPort, local, fd, target } = options;
    this.#gear = gear;
    this.carrier = carrier;
    this.port = port;
    this.key = key;
    this.client = client;
    this.clientPort = clientPort;
    this.local = local;
    this.fd = fd;
    this.target = target;
    this.targetPort = target.port + port.distance;
    this.opened = this.moved = gear.loop.now;
    this.#asked = performance.now();
    this.#header = DatagramHeader.of(carrier.forward, { client, clientPort, local, port: port.number });
    this.#timer = new Timer(() => this.#checkIdle());
    gear.loop.setTimer(this.#timer, this.opened + Math.min(HELD_TIME, carrier.forward.udpIdleTimeout));
    carrier.associations.add(this);
    carrier.tally.opened(target);
    carrier.tally.open += 1;
    // Without a place in the epoll it would send and never hear: its client is better off with a new try.
    if (!gear.loop.attach(fd, EPOLLIN, this)) gear.loop.setTimer(this.#timer, this.opened);
  }

  get standing(): StandingFlow {
    const target = { address: this.target.address.text, port: this.targetPort };
    return { transport: 'udp', client: this.client, listenPort: this.port.number, target };
  }

  /** Where there are several targets: the first datagram is kept for another one, should this one refuse it. */
  hold(payload: Uint8Array): void {
    if (payload.length <= HELD_BYTES) this.#held = payload.slice();
  }

  /** Sends on what came in this batch. */
  sendOn(): void {
    const { inbound, nextOfClient, loop } = this.#gear;
    const { first } = this;
    const more = nextOfClient[first] as number;
    this.first = -1;
    this.moved = loop.now;
    this.burst = more >= 0;
    if (this.#ask) {
      this.#ask = false;
      this.#asked = performance.now();
    }
    inbound.inspect(first);
    if (more >= 0 || inbound.segment !== 0 || this.#header) this.#sendMany(first);
    else this.#sendOne(inbound.address(first), inbound.length(first));
  }

  /** Sends on what came by itself, elsewhere. */
  sendAlone(payload: Uint8Array): void {
    this.moved = this.#gear.loop.now;
    this.#count(payload.length, 1);
    this.#sendHeld(payload);
  }

  /** The target's socket has answers, or an error. */
  ready(): void {
    const { replies, loop } = this.#gear;
    const result = replies.receive(this);
    if (result < 0) {
      this.#refused(-result);
      return;
    }
    if (replies.datagrams === 0) return;
    this.moved = loop.now;
    this.burst = true;
    this.bytesToClient += replies.bytes;
    const { tally } = this.carrier;
    tally.bytes += replies.bytes;
    tally.datagrams += replies.datagrams;
    if (this.#asked === 0) return;
    this.carrier.reached(this.target, (performance.now() - this.#asked) * 1000);
    this.#asked = 0;
    this.#heard = true;
    this.#held = undefined;
  }

  address(batch: SendBatch<ReplyReceiver>): void {
    this.port.address(batch, this.key);
    batch.own(this);
  }

  replyLost(bytes: number, datagrams: number): void {
    this.bytesToClient -= bytes;
    this.carrier.tally.bytes -= bytes;
    this.carrier.tally.datagrams -= datagrams;
  }

  lost(_: UdpAssociation, bytes: number, datagrams: number, errno: number): void {
    this.bytesToTarget -= bytes;
    this.carrier.tally.bytes -= bytes;
    this.carrier.tally.datagrams -= datagrams;
    // The socket's own queue is full: that says nothing about the target.
    if (errno !== EAGAIN) this.#errno = errno;
  }

  told(_: UdpAssociation, errno: number): void {
    this.#errno = errno;
  }

  uncut(): void {
    this.#cuttable = false;
  }

  /** For the listening socket alone, which forgets it. */
  close(): void {
    const { loop, libc, host } = this.#gear;
    loop.clearTimer(this.#timer);
    loop.forget(this.fd);
    libc.close(this.fd);
    host.descriptors.give(1);
    this.carrier.left(this);
  }

  #sendOne(address: number, length: number): void {
    const { calls } = this.#gear;
    this.#count(length, 1);
    if (calls.send(this.fd, address, length, FLAGS) >= 0) return;
    const errno = calls.errno();
    // The kernel told what became of an earlier datagram, and did not send this one.
    if (isOfEarlier(errno)) {
      this.#refused(errno);
      if (calls.send(this.fd, address, length, FLAGS) >= 0) return;
    }
    this.lost(this, length, 1, calls.errno());
    this.#takeErrno();
  }

  #sendMany(first: number): void {
    const { inbound, nextOfClient, onward } = this.#gear;
    for (let slot = first; slot >= 0; slot = nextOfClient[slot] as number) {
      inbound.inspect(slot);
      const { segment } = inbound;
      const address = inbound.address(slot);
      const length = inbound.length(slot);
      if (segment === 0) this.#queue(address, length);
      else if (this.#cuttable && !this.#header) {
        if (onward.full) onward.flush(this.fd, this);
        onward.addJoined(address, length, segment);
        onward.own(this);
        this.#count(length, Math.ceil(length / segment));
      } else for (let at = 0; at < length; at += segment) this.#queue(address + at, Math.min(segment, length - at));
    }
    onward.flush(this.fd, this);
    this.#takeErrno();
  }

  /** Not while a batch is being sent: it may end with another socket. */
  #takeErrno(): void {
    const errno = this.#errno;
    this.#errno = 0;
    if (errno !== 0) this.#refused(errno);
  }

  #queue(address: number, length: number): void {
    const { onward } = this.#gear;
    if (onward.full) onward.flush(this.fd, this);
    this.#count(length, 1);
    if (this.#header) onward.addTwo(this.#header.address, this.#header.length, address, length);
    else if (!onward.add(address, length, this.#cuttable)) return;
    onward.own(this);
  }

  #count(bytes: number, datagrams: number): void {
    const { tally } = this.carrier;
    this.bytesToTarget += bytes;
    tally.bytes += bytes;
    tally.datagrams += datagrams;
  }

  /** The target, or the way there, refused a datagram. The client keeps its association; it goes to a target that is well, if there is one. */
  #refused(errno: number): void {
    // The path takes less than was sent at once: the kernel has learned that, and makes fragments from now on.
    if (errno === EMSGSIZE) return;
    const { loop } = this.#gear;
    const { carrier, target } = this;
    carrier.missed(target, this.targetPort, errnoName(errno), loop.now);
    this.#ask = true;
    this.#asked = 0;
    const other = carrier.targets.pick({ now: loop.now, client: hashAddress(this.client), without: target });
    if (other && carrier.targets.health(other).health !== 'unhealthy') this.#move(other);
    else if (!this.#heard && !this.#failed) {
      this.#failed = true;
      carrier.tally.failed += 1;
    }
    this.#held = undefined;
  }

  #move(target: RelayTarget): void {
    const { loop, libc } = this.#gear;
    const { carrier, port } = this;
    const targetPort = target.port + port.distance;
    const fd = openToTarget(libc, { address: target.address, port: targetPort, source: carrier.forward.source });
    if (typeof fd === 'string') {
      carrier.missed(target, targetPort, fd, loop.now);
      return;
    }
    if (!loop.attach(fd, EPOLLIN, this)) {
      libc.close(fd);
      return;
    }
    loop.forget(this.fd);
    libc.close(this.fd);
    carrier.tally.closed(this.target);
    carrier.tally.opened(target);
    this.fd = fd;
    this.target = target;
    this.targetPort = targetPort;
    if (this.#held) this.#sendHeld(this.#held);
  }

  #sendHeld(payload: Uint8Array): void {
    const { libc } = this.#gear;
    const datagram = this.#header ? Buffer.concat([this.#header.bytes, payload]) : payload;
    this.#ask = false;
    this.#asked = performance.now();
    libc.send(this.fd, datagram, datagram.length, FLAGS);
  }

  #checkIdle(): void {
    const { loop } = this.#gear;
    const { udpIdleTimeout } = this.carrier.forward;
    this.#held = undefined;
    const due = this.moved + udpIdleTimeout;
    // Now and then in any case: the forward's time may have become shorter.
    if (due > loop.now) loop.setTimer(this.#timer, Math.min(due, loop.now + CHECK_TIME));
    else this.port.end(this);
  }
}

const FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL;
