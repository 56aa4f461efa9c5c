import type { Socket } from 'node:net';
import { peerText } from '../core/address.js';
import type { StandingFlow } from '../core/change.js';
import { proxyHeader } from '../core/proxy-protocol.js';
import { blamesTarget } from '../core/trouble.js';
import type { RelayFlow } from '../engine.js';
import type { RelayTarget } from '../types.js';
import { type Carriage, type Carried, type Client, sourceFor } from './carried.js';
import { now } from './clock.js';
import { tryConnect, tune } from './connect.js';
import { resetSocket } from './reset.js';
import { Direction } from './tcp-direction.js';

/** The client's and the target's. */
const DESCRIPTORS = 2;

/** Lets a client in, or resets it at once. */
export function acceptTcp(carried: Carried, socket: Socket, listenPort: number): void {
  const { remoteAddress, remotePort } = socket;
  // It left again before its turn came.
  if (remoteAddress === undefined || remotePort === undefined) {
    resetSocket(socket);
    return;
  }
  const client = carried.admit(remoteAddress, remotePort, DESCRIPTORS);
  if (client) new TcpConnection(carried, socket, client, listenPort);
  else resetSocket(socket);
}

/** One connection: first towards a target, then in both directions until both have ended, or with a reset of both. */
class TcpConnection implements Carriage {
  readonly #carried: Carried;
  readonly #client: Client;
  readonly #listenPort: number;
  readonly #fromClient: Socket;
  /** What the client connected to, in text. */
  readonly #listener: { readonly address: string; readonly port: number };
  readonly #began = now();
  #moved = this.#began;
  #target: RelayTarget;
  /** A range keeps the distance between the client's port and the first. */
  #targetPort = 0;
  #toTarget: Socket | undefined;
  #source = '';
  #attempt: { giveUp(): void } | undefined;
  #bytesToTarget = 0;
  #bytesToClient = 0;
  #done = 0;
  #over = false;

  constructor(carried: Carried, socket: Socket, client: Client, listenPort: number) {
    this.#carried = carried;
    this.#fromClient = socket;
    this.#client = client;
    this.#listenPort = listenPort;
    this.#listener = { address: socket.localAddress ?? '', port: listenPort };
    carried.flows.add(this);
    tune(socket);
    socket.on('error', () => this.end());
    socket.on('close', () => this.#closed());
    const target = carried.targets.pick({ now: now(), client: client.hash });
    // A forward has at least one target.
    if (!target) throw new Error(`forward ${carried.forward.uid} has no target`);
    this.#target = target;
    this.#connect(true);
  }

  get standing(): StandingFlow {
    return {
      transport: 'tcp',
      client: this.#client.bytes,
      listenPort: this.#listenPort,
      target: { address: this.#target.address.text, port: this.#targetPort },
    };
  }

  sweep(time: number): void {
    if (this.#toTarget && time - this.#moved >= this.#carried.forward.tcpIdleTimeout) this.end();
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#attempt?.giveUp();
    resetSocket(this.#fromClient);
    if (this.#toTarget) {
      resetSocket(this.#toTarget);
      this.#carried.tally.closed(this.#target);
    }
    this.#carried.leave(this.#client, DESCRIPTORS, this);
  }

  describe(time: number): RelayFlow | undefined {
    if (!this.#toTarget) return undefined;
    return {
      uid: this.#carried.forward.uid,
      transport: 'tcp',
      client: peerText(this.#client.address, this.#client.port),
      listener: peerText(this.#listener.address, this.#listener.port),
      source: this.#source,
      target: peerText(this.#target.address.text, this.#targetPort),
      age: Math.round(time - this.#began),
      idle: Math.round(time - this.#moved),
      bytesToTarget: this.#bytesToTarget,
      bytesToClient: this.#bytesToClient,
    };
  }

  #connect(mayRetry: boolean): void {
    const { forward } = this.#carried;
    const target = this.#target;
    this.#targetPort = target.port + this.#listenPort - forward.listen.ports.first;
    const { text: address, family } = target.address;
    const wish = { address, port: this.#targetPort, family, timeout: forward.connectTimeout };
    const source = sourceFor(forward, target);
    this.#attempt = tryConnect({ ...wish, ...(source ? { source } : {}) }, (result) => {
      this.#attempt = undefined;
      if ('socket' in result) {
        this.#carried.succeeded(target, result.rttUs);
        this.#connected(result.socket);
        return;
      }
      if (blamesTarget(result.code)) this.#carried.failed(target, now(), result.trouble);
      const other = mayRetry && this.#carried.targets.pick({ now: now(), client: this.#client.hash, without: target });
      if (other) {
        this.#target = other;
        this.#connect(false);
      } else {
        this.#carried.tally.failed += 1;
        this.end();
      }
    });
  }

  #connected(socket: Socket): void {
    const { tally, forward } = this.#carried;
    this.#toTarget = socket;
    this.#moved = now();
    this.#source = peerText(socket.localAddress ?? '', socket.localPort ?? 0);
    tally.opened(this.#target);
    tune(socket);
    socket.on('error', () => this.end());
    socket.on('close', () => this.#closed());
    const taken = () => {
      this.#moved = now();
    };
    const done = () => this.#finished();
    const client = this.#fromClient;
    const there = new Direction({
      from: client,
      to: socket,
      taken,
      done,
      moved: (bytes) => {
        this.#moved = now();
        this.#bytesToTarget += bytes;
        tally.bytes += bytes;
      },
    });
    new Direction({
      from: socket,
      to: client,
      taken,
      done,
      moved: (bytes) => {
        this.#moved = now();
        this.#bytesToClient += bytes;
        tally.bytes += bytes;
      },
    });
    const transport = 'tcp';
    if (forward.proxyProtocol)
      there.lead(proxyHeader(forward.proxyProtocol, { transport, client: this.#client, listener: this.#listener }));
    client.resume();
    socket.resume();
  }

  /** One direction has passed its end on. */
  #finished(): void {
    this.#done += 1;
    if (this.#done < 2 || this.#over) return;
    this.#over = true;
    this.#fromClient.destroy();
    this.#toTarget?.destroy();
    this.#carried.tally.closed(this.#target);
    this.#carried.leave(this.#client, DESCRIPTORS, this);
  }

  /** A socket closes by itself only after both its directions ended; before, what is left of the connection is worth nothing. */
  #closed(): void {
    if (this.#done < 2) this.end();
  }
}
