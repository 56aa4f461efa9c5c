import { createSocket, type Socket } from 'node:dgram';
import { peerText } from '../core/address.js';
import type { StandingFlow } from '../core/change.js';
import { proxyHeader } from '../core/proxy-protocol.js';
import { blamesTarget, connectTrouble } from '../core/trouble.js';
import type { RelayFlow } from '../engine.js';
import type { RelayTarget } from '../types.js';
import { type Carriage, type Carried, type Client, sourceFor } from './carried.js';
import { now } from './clock.js';

/** The socket towards the target. */
export const UDP_DESCRIPTORS = 1;
/** Bytes that may wait for the kernel to take them; what comes then is lost, as a full queue of the network would lose it. */
export const MOST_WAITING = 1_048_576;
/** As much as net.core.rmem_max lets it be. */
export const RECEIVE_BUFFER = 4_194_304;

/** Where replies to a client leave: the socket that it sent to. */
export interface ReplySide {
  readonly address: string;
  readonly port: number;
  reply(datagram: Buffer, client: Client): void;
}

export interface UdpClientOptions {
  readonly carried: Carried;
  readonly client: Client;
  readonly side: ReplySide;
  /** It is over: the next datagram of this client begins anew. */
  readonly onEnd: () => void;
}

/** One client of a UDP forward, with a connected socket of its own: replies come to it alone, and errors of the target are seen. */
export class UdpClient implements Carriage {
  readonly #options: UdpClientOptions;
  #target: RelayTarget;
  #targetPort: number;
  #socket: Socket;
  readonly #began = now();
  #moved = this.#began;
  /** What came before the socket was ready; undefined: it is. */
  #early: Buffer[] | undefined = [];
  #earlyBytes = 0;
  /**
   * Before each datagram: each is the beginning of all that a receiver can rely on, and those that there are for UDP (BIND, Unbound, Knot,
   * PowerDNS, dnsdist) read it so.
   */
  readonly #header: Buffer | undefined;
  #source = '';
  #bytesToTarget = 0;
  #bytesToClient = 0;
  #answered = false;
  /** The first datagram, for another target, should this one refuse it; where there is another, and until something was heard. */
  #held: Buffer | undefined;
  #failedBefore = false;
  #over = false;

  constructor(options: UdpClientOptions) {
    this.#options = options;
    const { carried, client, side } = options;
    const { forward } = carried;
    const target = carried.targets.pick({ now: this.#began, client: client.hash });
    // A forward has at least one target.
    if (!target) throw new Error(`forward ${forward.uid} has no target`);
    this.#target = target;
    this.#targetPort = target.port + side.port - forward.listen.ports.first;
    if (forward.proxyProtocol)
      this.#header = proxyHeader(forward.proxyProtocol, {
        transport: 'udp',
        client,
        listener: { address: side.address, port: side.port },
      });
    carried.flows.add(this);
    carried.tally.opened(target);
    this.#socket = openDatagram(target.address.family);
    this.#connect(sourceFor(forward, target));
  }

  get standing(): StandingFlow {
    return {
      transport: 'udp',
      client: this.#options.client.bytes,
      listenPort: this.#options.side.port,
      target: { address: this.#target.address.text, port: this.#targetPort },
    };
  }

  /** A datagram of the client. */
  send(datagram: Buffer): void {
    if (this.#over) return;
    this.#moved = now();
    if (this.#bytesToTarget === 0 && this.#early?.length === 0 && this.#options.carried.forward.targets.length > 1)
      this.#held = datagram;
    if (this.#early === undefined) this.#write(datagram);
    else if (this.#earlyBytes + datagram.length <= MOST_WAITING) {
      this.#early.push(datagram);
      this.#earlyBytes += datagram.length + 1;
    }
  }

  sweep(time: number): void {
    if (time - this.#moved >= this.#options.carried.forward.udpIdleTimeout) this.end();
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    const { carried, client, onEnd } = this.#options;
    this.#socket.close();
    carried.tally.closed(this.#target);
    carried.leave(client, UDP_DESCRIPTORS, this);
    onEnd();
  }

  describe(time: number): RelayFlow | undefined {
    const { carried, client, side } = this.#options;
    if (this.#early) return undefined;
    return {
      uid: carried.forward.uid,
      transport: 'udp',
      client: peerText(client.address, client.port),
      listener: peerText(side.address, side.port),
      source: this.#source,
      target: peerText(this.#target.address.text, this.#targetPort),
      age: Math.round(time - this.#began),
      idle: Math.round(time - this.#moved),
      bytesToTarget: this.#bytesToTarget,
      bytesToClient: this.#bytesToClient,
    };
  }

  /** With an address in place of a name, some of it happens before this returns. */
  #connect(source: string | undefined): void {
    const { address } = this.#target;
    const socket = this.#socket;
    const current = () => !this.#over && socket === this.#socket;
    socket.on('error', (error: NodeJS.ErrnoException) => current() && this.#failed(error.code ?? error.message));
    socket.on('message', (datagram) => current() && this.#replied(datagram));
    socket.on('connect', () => {
      if (!current()) return;
      const { address: own, port } = socket.address();
      this.#source = peerText(own, port);
      const early = this.#early ?? [];
      this.#early = undefined;
      for (const datagram of early) this.#write(datagram);
    });
    if (source === undefined) socket.connect(this.#targetPort, address.text);
    else
      socket.bind({ address: source, port: 0 }, () => {
        if (current()) socket.connect(this.#targetPort, address.text);
      });
  }

  #write(datagram: Buffer): void {
    if (this.#socket.getSendQueueSize() > MOST_WAITING) return;
    const { tally } = this.#options.carried;
    tally.bytes += datagram.length;
    tally.datagrams += 1;
    this.#bytesToTarget += datagram.length;
    const header = this.#header;
    const socket = this.#socket;
    socket.send(header ? Buffer.concat([header, datagram]) : datagram, (error: NodeJS.ErrnoException | null) => {
      if (error && socket === this.#socket) this.#failed(error.code ?? error.message);
    });
  }

  #replied(datagram: Buffer): void {
    if (this.#over) return;
    this.#moved = now();
    const { carried, client, side } = this.#options;
    carried.tally.bytes += datagram.length;
    carried.tally.datagrams += 1;
    this.#bytesToClient += datagram.length;
    if (!this.#answered) {
      this.#answered = true;
      this.#held = undefined;
      carried.succeeded(this.#target);
    }
    side.reply(datagram, client);
  }

  /** A datagram was not taken, or the target's host said that nobody wants them (ICMP, seen because the socket is connected). */
  #failed(code: string): void {
    if (this.#over || code === 'EMSGSIZE') return;
    const { carried, client } = this.#options;
    const target = this.#target;
    const time = now();
    if (blamesTarget(code))
      carried.failed(target, time, connectTrouble({ address: target.address.text, port: this.#targetPort }, code));
    const other = carried.targets.pick({ now: time, client: client.hash, without: target });
    if (other && carried.targets.health(other).health !== 'unhealthy') this.#move(other);
    else if (!this.#answered && !this.#failedBefore) {
      this.#failedBefore = true;
      carried.tally.failed += 1;
    }
    // Without a target's socket nothing can come of it; with one, the target may come back, and the client go on.
    if (!REFUSALS.has(code) && target === this.#target) this.end();
  }

  #move(target: RelayTarget): void {
    const { carried, side } = this.#options;
    const { forward, tally } = carried;
    this.#socket.close();
    tally.closed(this.#target);
    tally.opened(target);
    this.#target = target;
    this.#targetPort = target.port + side.port - forward.listen.ports.first;
    this.#early = this.#held ? [this.#held] : [];
    this.#held = undefined;
    this.#socket = openDatagram(target.address.family);
    this.#connect(sourceFor(forward, target));
  }
}

const REFUSALS: ReadonlySet<string> = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EPERM', 'EACCES']);

/** `reuse`: further sockets may be bound to the same address and port. */
export function openDatagram(family: 4 | 6, reuse = false): Socket {
  return createSocket({
    ...(family === 4 ? { type: 'udp4' } : { type: 'udp6', ipv6Only: true }),
    reusePort: reuse,
    // Every address here is one already: nothing is to be looked up, and nothing waited for.
    lookup: (host, _, done) => done(null, host, family),
  });
}

/** The kernel holds as much as it is allowed to; only after a socket is bound or connected. */
export function widen(socket: Socket): void {
  try {
    socket.setRecvBufferSize(RECEIVE_BUFFER);
  } catch {
    // Some jails forbid it; the default is smaller, no more.
  }
}
