import { addressBytes, addressText } from '@gwctl/shared/domain/ip-bytes';
import { errnoName } from '../../system/errno.js';
import {
  EMFILE,
  ENFILE,
  F_DUPFD_CLOEXEC,
  IP_PKTINFO,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_RECVPKTINFO,
} from '../../system/native/constants.js';
import type { SendBatch } from '../../system/native/send-batch.js';
import { hashAddress } from '../core/address.js';
import type { RelayTarget } from '../types.js';
import type { Ready } from './epoll-loop.js';
import { EPOLLIN } from './loop.js';
import type { SharedOut } from './side.js';
import { UdpAssociation } from './udp-association.js';
import type { UdpCarrier } from './udp-carrier.js';
import { ClientTable, KEY_WORDS } from './udp-clients.js';
import { SLOTS, type UdpGear } from './udp-gear.js';
import type { ReplyPort, ReplyReceiver } from './udp-replies.js';
import { joinReceived, ON, openToTarget, widen } from './udp-target-socket.js';

/** Full batches taken in one turn of the loop: then others have theirs, and epoll reports again what still waits. */
const BATCHES = 4;
/** More than wait where they are taken at once. */
const ALL_BATCHES = 256;
/** Bytes that may wait in a listening socket: some milliseconds at full rate. */
const WAITING = 4 * 1024 * 1024;

export interface PortOptions {
  readonly gear: UdpGear;
  readonly socket: SharedOut;
  /** The socket that would get what this one gets, were this one not there; undefined: none. `local`: where it was sent to. */
  readonly heir: (port: UdpPort, local: string) => UdpPort | undefined;
  /** A datagram of a client that nobody of these knows. */
  readonly strayed: (port: UdpPort, slot: number) => void;
  /** The socket is to be received on, also without clients: a predecessor that no longer does so holds it too. */
  readonly lingers: () => boolean;
  /** A client is gone; `over`: it was the last one of a retired port, which is closed. */
  readonly left: (port: UdpPort, over: boolean) => void;
}

/** Tells one listener from another. */
export const placeOf = (socket: Pick<SharedOut, 'address' | 'port' | 'interface'>): string =>
  `${socket.address} ${socket.port} ${socket.interface ?? ''}`;

/** One listening socket, and its clients. */
export class UdpPort implements Ready, ReplyPort {
  readonly family: 4 | 6;
  readonly number: number;
  readonly place: string;
  fd: number;
  outbox: SendBatch<ReplyReceiver> | undefined;
  /** What is added to a target's port. */
  distance = 0;
  /** Undefined: retired; clients that are known go on, new ones are the heir's. */
  carrier: UdpCarrier | undefined;
  readonly #gear: UdpGear;
  readonly #options: PortOptions;
  readonly bound: string;
  readonly interface: string | undefined;
  /** It listens on every address of its family, and each client says by its packets on which. */
  readonly #wildcard: boolean;
  readonly #clients: ClientTable<UdpAssociation>;
  readonly #touched: UdpAssociation[] = [];
  #watched = false;
  /** Retired, and closed. */
  #over = false;
  /** The duplicate is among the descriptors that the relay holds. */
  #counted = false;

  constructor(options: PortOptions) {
    const { gear, socket } = options;
    this.#options = options;
    this.#gear = gear;
    this.bound = socket.address;
    this.interface = socket.interface;
    this.fd = socket.fd;
    this.family = socket.address.includes(':') ? 6 : 4;
    this.number = socket.port;
    this.place = placeOf(socket);
    this.#wildcard = addressBytes(socket.address).every((byte) => byte === 0);
    this.#clients = new ClientTable(KEY_WORDS[this.family]);
    const { libc } = gear;
    // An heir may listen on every address, and be told so on which of them a client is.
    const [level, option] = this.family === 4 ? [IPPROTO_IP, IP_PKTINFO] : [IPPROTO_IPV6, IPV6_RECVPKTINFO];
    libc.setsockopt(this.fd, level, option, ON, 4);
    joinReceived(libc, this.fd);
    widen(libc, this.fd, WAITING);
  }

  get clients(): number {
    return this.#clients.size;
  }

  watch(watched: boolean): void {
    if (watched === this.#watched) return;
    this.#watched = watched;
    const { loop, host } = this.#gear;
    if (!watched) loop.unwatch(this.fd);
    else if (!loop.attach(this.fd, EPOLLIN, this)) host.trouble(`watching ${this.place}`, this.#gear.libc.errno());
  }

  /** Datagrams wait. */
  ready(): void {
    this.#receive(BATCHES);
  }

  /** Takes all that wait, before nobody does any more. */
  receiveAll(): void {
    this.#receive(ALL_BATCHES);
  }

  #receive(batches: number): void {
    const { inbound } = this.#gear;
    for (let batch = 0; batch < batches; batch++) {
      const n = inbound.receive(this.fd, 0, SLOTS);
      if (n < 0) this.#gear.host.trouble(`receiving on ${this.place}`, new Error(errnoName(-n)));
      for (let slot = 0; slot < n; slot++) this.take(slot, this.#touched);
      for (const association of this.#touched) association.sendOn();
      this.#touched.length = 0;
      if (n < SLOTS) return;
    }
  }

  /** Says where a reply goes, and from which address. */
  address(batch: SendBatch<ReplyReceiver>, key: Int32Array): void {
    if (this.family === 6) batch.toIpv6(key, this.#wildcard);
    else batch.toIpv4(key[0] as number, key[1] as number, this.#wildcard ? (key[2] as number) : undefined);
  }

  end(association: UdpAssociation): void {
    this.#clients.delete(association.key);
    association.close();
    if (!this.carrier) this.letGo();
    this.#options.left(this, this.#over);
  }

  /** Closes what is retired, unless there is a reason to go on. */
  letGo(): void {
    if (this.#clients.size > 0 || this.#options.lingers()) return;
    this.#close();
    this.#over = true;
  }

  endAll(): void {
    for (const association of this.#clients.values()) this.end(association);
  }

  /**
   * Its forward gave it up, and the descriptor will be closed. Where there are clients that go on, a duplicate stays open: their replies
   * must leave from this port, and what they send arrives here. The same where it lingers.
   */
  retire(watched: boolean): void {
    const { libc, host, replies } = this.#gear;
    replies.flush();
    this.watch(false);
    this.carrier = undefined;
    const stays = this.#clients.size > 0 || this.#options.lingers();
    this.fd = stays ? libc.fcntl(this.fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (this.fd < 0) {
      this.endAll();
      this.#over = true;
      this.#options.left(this, true);
      return;
    }
    // It replaces one that is closed now: there is room for it, counted or not.
    this.#counted = host.descriptors.take(1);
    this.watch(watched);
  }

  /** The duplicate. */
  #close(): void {
    if (this.fd < 0) return;
    const { replies, libc, host } = this.#gear;
    replies.flush();
    this.watch(false);
    libc.close(this.fd);
    if (this.#counted) host.descriptors.give(1);
    this.fd = -1;
  }

  /** Finds whose datagram it is, and puts that association into `touched` if it is not there. */
  take(slot: number, touched: UdpAssociation[]): void {
    const { nextOfClient } = this.#gear;
    this.#readKey(slot);
    const association = this.#clients.find() ?? this.#admit(slot);
    if (!association) {
      if (this.carrier) return;
      const heir = this.#options.heir(this, this.#local());
      if (heir) heir.take(slot, touched);
      else this.#options.strayed(this, slot);
      return;
    }
    nextOfClient[slot] = -1;
    if (association.first < 0) {
      association.first = slot;
      touched.push(association);
    } else nextOfClient[association.last] = slot;
    association.last = slot;
  }

  /** The key that was read last. */
  keyRead(): Int32Array {
    return this.#clients.probe.slice();
  }

  known(key: Int32Array): UdpAssociation | undefined {
    this.#clients.probe.set(key);
    return this.#clients.find();
  }

  /** The gateway's address that the datagram came to whose key was read last. */
  #local(): string {
    return this.#wildcard ? localText(this.#clients.probe, this.family) : this.bound;
  }

  #readKey(slot: number): void {
    const { inbound } = this.#gear;
    const { probe } = this.#clients;
    if (this.#wildcard) inbound.inspect(slot);
    const local = this.#wildcard && inbound.local >= 0;
    probe[0] = inbound.name(slot, 0);
    if (this.family === 4) {
      probe[1] = inbound.name(slot, 1);
      probe[2] = local ? inbound.localWord(0) : 0;
      return;
    }
    for (let i = 1; i <= 5; i++) probe[i] = inbound.name(slot, i + 1);
    for (let i = 0; i < 4; i++) probe[6 + i] = local ? inbound.localWord(i) : 0;
  }

  /** A client that is not known: lets it in, or counts why not. */
  #admit(slot: number): UdpAssociation | undefined {
    const { carrier } = this;
    if (!carrier) return undefined;
    const { inbound, host } = this.#gear;
    const { tally, limits } = carrier;
    const length = this.family === 4 ? 4 : 16;
    const client = inbound.nameBytes(slot, this.family === 4 ? 4 : 8, length);
    if (!carrier.allow.allows(client, 0, length)) {
      tally.refused += 1;
      return undefined;
    }
    if (host.crowds(limits.open) || limits.enter(client, 0, length) !== undefined) {
      tally.limited += 1;
      return undefined;
    }
    if (!host.descriptors.take(1)) {
      limits.leave(client, 0, length);
      tally.limited += 1;
      return undefined;
    }
    const association = this.#open(carrier, slot, client.slice());
    if (typeof association !== 'string') return association;
    host.descriptors.give(1);
    limits.leave(client, 0, length);
    if (OURS.has(association)) tally.limited += 1;
    else tally.failed += 1;
    return undefined;
  }

  /** Or errno's name for why there is none. */
  #open(carrier: UdpCarrier, slot: number, client: Uint8Array): UdpAssociation | string {
    const { gear } = this.#options;
    const found = this.#connect(carrier, client);
    if (typeof found === 'string') return found;
    const { fd, target } = found;
    const { inbound } = gear;
    const { probe } = this.#clients;
    const word = probe[0] as number;
    const association = new UdpAssociation({
      gear,
      carrier,
      port: this,
      key: probe.slice(),
      client,
      clientPort: ((word >>> 8) & 0xff00) | (word >>> 24),
      local: this.#local(),
      fd,
      target,
    });
    this.#clients.add(association);
    carrier.tally.flows += 1;
    if (carrier.forward.targets.length > 1 && inbound.segment === 0) association.hold(inbound.payload(slot));
    return association;
  }

  /** Two targets at most are tried. */
  #connect(carrier: UdpCarrier, client: Uint8Array): { readonly fd: number; readonly target: RelayTarget } | string {
    const { loop, libc, host } = this.#gear;
    const turn = { now: loop.now, client: hashAddress(client) };
    let target = carrier.targets.pick(turn);
    let code = 'EHOSTUNREACH';
    for (let attempt = 0; attempt < 2 && target; attempt++) {
      const port = target.port + this.distance;
      const fd = openToTarget(libc, { address: target.address, port, source: carrier.forward.source });
      if (typeof fd === 'number') return { fd, target };
      code = fd;
      if (code === errnoName(EMFILE) || code === errnoName(ENFILE)) host.descriptors.exhausted();
      if (OURS.has(code)) return code;
      carrier.missed(target, port, code, loop.now);
      target = carrier.targets.pick({ ...turn, without: target });
    }
    return code;
  }
}

function localText(key: Int32Array, family: 4 | 6): string {
  const bytes = new Uint8Array(key.buffer, key.byteOffset, key.byteLength);
  return family === 4 ? addressText(bytes, 8, 4) : addressText(bytes, 24, 16);
}

/** Not the target's fault: this host has no descriptor, memory or port left. */
const OURS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'ENOSPC', 'EAGAIN', 'EADDRINUSE']);
