import { fstatSync } from 'node:fs';
import { addressText } from '@gwctl/shared/domain/ip-bytes';
import type { RelayLibc } from '../../system/native/relay-libc.js';
import { addressTextOf, portOf, SOCKET_ADDRESS_MAX } from '../../system/native/socket-address.js';
import { peerText } from '../core/address.js';
import { changeOf, mayEnd } from '../core/change.js';
import type { EngineUse, ForwardCounts, RelayFlow } from '../engine.js';
import type { RelayedForward } from '../types.js';
import type { EpollLoop } from './epoll-loop.js';
import type { DrainingSocket } from './messages.js';
import type { SharedCounters, SharedOut, Side, SideHost, Stray, TargetNews } from './side.js';
import type { UdpAssociation } from './udp-association.js';
import { UdpCarrier } from './udp-carrier.js';
import { UdpGear } from './udp-gear.js';
import { placeOf, UdpPort } from './udp-port.js';
import { Strays } from './udp-strays.js';

/** Milliseconds between two looks at whether a predecessor is over. */
const LOOK_EVERY = 1_000;

export interface UdpSideOptions {
  readonly loop: EpollLoop;
  readonly libc: RelayLibc;
  readonly host: SideHost;
  /** The process that left us sockets. Default: none did. */
  readonly predecessor?: number | undefined;
}

/** UDP in a native worker. See udp.md for the path of a datagram. */
export class UdpSide implements Side {
  readonly #gear: UdpGear;
  readonly #carriers = new Map<string, UdpCarrier>();
  /** Carriers that were removed and still have clients. */
  readonly #leaving = new Set<UdpCarrier>();
  /** By descriptor, those that a forward has. */
  readonly #ports = new Map<number, UdpPort>();
  readonly #byPlace = new Map<string, UdpPort>();
  readonly #retired = new Set<UdpPort>();
  readonly #strays: Strays;
  #predecessor: number | undefined;
  #awaiting = false;
  #accepting = true;
  #drained: (() => void) | undefined;

  constructor(options: UdpSideOptions) {
    this.#gear = new UdpGear(options);
    this.#predecessor = options.predecessor;
    this.#strays = new Strays({ gear: this.#gear, ports: () => [...this.#retired, ...this.#ports.values()] });
  }

  set(forward: RelayedForward, mine: readonly SharedOut[], shared: SharedCounters): void {
    const old = this.#carriers.get(forward.uid);
    if (!old && mine.length === 0) return;
    const carrier = old ?? new UdpCarrier(this.#gear.host, forward, shared);
    const was = carrier.forward;
    this.#carriers.set(forward.uid, carrier);
    if (old) carrier.update(forward, shared);
    if (old && mayEnd(was, forward)) {
      const change = changeOf(was, forward);
      for (const association of [...carrier.associations])
        if (change.ends(association.standing)) association.port.end(association);
    }
    this.#share(carrier, mine);
    this.#checkDrained();
  }

  remove(uid: string, cut: boolean): void {
    const carrier = this.#carriers.get(uid);
    if (!carrier) return;
    this.#carriers.delete(uid);
    if (cut) for (const association of [...carrier.associations]) association.port.end(association);
    // What came before it was removed is still its.
    else for (const port of this.#ports.values()) if (port.carrier === carrier) port.receiveAll();
    this.#share(carrier, []);
    if (carrier.associations.size > 0) this.#leaving.add(carrier);
    this.#checkDrained();
  }

  counts(): readonly ForwardCounts[] {
    return [...this.#carriers.values()].map(({ forward, tally, targets }) => tally.counts(forward.uid, forward.targets, targets));
  }

  flows({ uid, most }: { readonly uid?: string; readonly most: number }): readonly RelayFlow[] {
    const flows: RelayFlow[] = [];
    for (const carrier of this.#all()) {
      if (uid !== undefined && carrier.forward.uid !== uid) continue;
      for (const association of carrier.associations) {
        if (flows.length >= most) return flows;
        flows.push(this.#flow(carrier.forward.uid, association));
      }
    }
    return flows;
  }

  /** Sockets that no forward has any more. */
  draining(): readonly DrainingSocket[] {
    return [...this.#retired].map(({ number: port, fd }) => ({ port, inode: fstatSync(fd).ino }));
  }

  use(): Pick<EngineUse, 'connections' | 'clients' | 'pipes'> {
    let clients = 0;
    for (const carrier of this.#all()) clients += carrier.associations.size;
    return { connections: 0, clients, pipes: 0 };
  }

  accept(accepting: boolean): void {
    this.#accepting = accepting;
    for (const port of this.#ports.values()) port.watch(accepting);
    for (const port of this.#retired) port.watch(accepting);
  }

  drained(done: () => void): void {
    this.#drained = done;
    this.#lingerNoMore();
    this.#checkDrained();
  }

  learn(uid: string, news: TargetNews): void {
    this.#carriers.get(uid)?.learn(news, this.#gear.loop.now);
  }

  /** Another worker got it. */
  stray(stray: Stray): void {
    this.#strays.deliver(stray);
  }

  stop(): void {
    for (const carrier of [...this.#all()]) {
      for (const association of [...carrier.associations]) association.port.end(association);
      this.#share(carrier, []);
    }
    this.#carriers.clear();
    this.#lingerNoMore();
    this.#checkDrained();
  }

  /** Gives the carrier these sockets, and takes from it the others that it has. */
  #share(carrier: UdpCarrier, mine: readonly SharedOut[]): void {
    const kept = new Set(mine.map((socket) => socket.fd));
    for (const port of [...this.#ports.values()]) if (port.carrier === carrier && !kept.has(port.fd)) this.#retire(port);
    for (const socket of mine) {
      let port = this.#ports.get(socket.fd);
      // The number of a descriptor that was closed may be one of another listener now.
      if (port && port.place !== placeOf(socket)) {
        this.#retire(port);
        port = undefined;
      }
      port ??= this.#open(socket);
      port.carrier = carrier;
      port.distance = socket.port - carrier.forward.listen.ports.first;
      port.watch(this.#accepting);
    }
  }

  #open(socket: SharedOut): UdpPort {
    const port = new UdpPort({
      gear: this.#gear,
      socket,
      heir: (from, local) => this.#heir(from, local),
      strayed: (from, slot) => this.#strays.came(from, slot),
      lingers: () => socket.inherited && this.#predecessorDrains(),
      left: (from, over) => {
        if (over) this.#retired.delete(from);
        this.#checkDrained();
      },
    });
    this.#ports.set(socket.fd, port);
    this.#byPlace.set(port.place, port);
    return port;
  }

  /** As the kernel chooses: sockets for the address before those for every address, those for the interface before others. */
  #heir({ family, number: port, interface: name }: UdpPort, local: string): UdpPort | undefined {
    for (const address of [local, family === 4 ? '0.0.0.0' : '::']) {
      const bound = name === undefined ? undefined : this.#byPlace.get(placeOf({ address, port, interface: name }));
      const found = bound ?? this.#byPlace.get(placeOf({ address, port }));
      if (found) return found;
    }
    return undefined;
  }

  #retire(port: UdpPort): void {
    this.#ports.delete(port.fd);
    if (this.#byPlace.get(port.place) === port) this.#byPlace.delete(port.place);
    this.#retired.add(port);
    port.retire(this.#accepting);
    this.#awaitPredecessor();
  }

  /** It started this process, which gets another parent when that one ends. */
  #predecessorDrains(): boolean {
    return this.#predecessor !== undefined && process.ppid === this.#predecessor;
  }

  #awaitPredecessor(): void {
    if (this.#awaiting || this.#retired.size === 0 || this.#predecessor === undefined) return;
    this.#awaiting = true;
    this.#gear.loop.after(LOOK_EVERY, () => {
      this.#awaiting = false;
      if (this.#predecessorDrains()) this.#awaitPredecessor();
      else this.#lingerNoMore();
    });
  }

  #lingerNoMore(): void {
    this.#predecessor = undefined;
    for (const port of [...this.#retired]) {
      port.letGo();
      if (port.fd < 0) this.#retired.delete(port);
    }
  }

  *#all(): Generator<UdpCarrier> {
    yield* this.#carriers.values();
    yield* this.#leaving;
  }

  #checkDrained(): void {
    for (const carrier of this.#leaving) if (carrier.associations.size === 0) this.#leaving.delete(carrier);
    if (!this.#drained) return;
    for (const carrier of this.#all()) if (carrier.associations.size > 0) return;
    const done = this.#drained;
    this.#drained = undefined;
    done();
  }

  #flow(uid: string, association: UdpAssociation): RelayFlow {
    const { loop, libc } = this.#gear;
    const { client, clientPort, local, port, target, targetPort, opened, moved, bytesToTarget, bytesToClient, fd } = association;
    return {
      uid,
      transport: 'udp',
      client: peerText(addressText(client), clientPort),
      listener: peerText(local, port.number),
      source: ownName(libc, fd),
      target: peerText(target.address.text, targetPort),
      age: loop.now - opened,
      idle: loop.now - moved,
      bytesToTarget,
      bytesToClient,
    };
  }
}

function ownName(libc: RelayLibc, fd: number): string {
  const name = new Uint8Array(SOCKET_ADDRESS_MAX);
  const length = new Uint8Array(Int32Array.of(SOCKET_ADDRESS_MAX).buffer);
  return libc.getsockname(fd, name, length) < 0 ? '' : peerText(addressTextOf(name), portOf(name));
}
