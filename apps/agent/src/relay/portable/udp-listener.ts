import type { BindOptions, RemoteInfo, Socket } from 'node:dgram';
import { once } from 'node:events';
import { type ListenPlace, listenFailure } from '../core/listen-trouble.js';
import type { ListenFailure } from '../engine.js';
import type { Carried, Client } from './carried.js';
import { datagramDescriptor, stopReceiving } from './handles.js';
import { codeOf, type ListenOptions } from './listen-options.js';
import { untilQuiet } from './quiet.js';
import { MOST_WAITING, openDatagram, UDP_DESCRIPTORS, UdpClient, widen } from './udp-client.js';

/** One listening socket for one address and port: clients are told apart by their address, and replies leave from it. */
export class UdpListener {
  readonly place: ListenPlace;
  readonly #socket: Socket;
  readonly #clients = new Map<string, UdpClient>();
  #carried: Carried | undefined;
  #whenIdle: (() => void) | undefined;
  readonly #lingers: () => boolean;
  #closed = false;
  #arrivals = 0;

  private constructor(place: ListenPlace, socket: Socket, lingers: () => boolean) {
    this.place = place;
    this.#lingers = lingers;
    this.#socket = socket;
    socket.on('message', (datagram, from) => this.#arrived(datagram, from));
  }

  /** What is taken already fails with why. */
  static async open(
    place: ListenPlace,
    { fd, probe, died, lingers = () => false }: ListenOptions,
  ): Promise<UdpListener | ListenFailure> {
    const { address, port } = place;
    const family = address.includes(':') ? 6 : 4;
    try {
      if (probe) await closed(await bound(openDatagram(family), { address, port }));
      const socket = openDatagram(family, true);
      const listener = new UdpListener(place, socket, lingers);
      await bound(socket, fd === undefined ? { address, port } : { fd });
      socket.on('error', died);
      widen(socket);
      return listener;
    } catch (error) {
      return listenFailure(place, codeOf(error));
    }
  }

  get fd(): number | undefined {
    return this.#closed ? undefined : datagramDescriptor(this.#socket);
  }

  /** Clients of whom it carried before go on. */
  carry(carried: Carried): void {
    this.#carried = carried;
    this.#whenIdle = undefined;
  }

  /** Takes nobody new, but stays for the clients that it has: their replies can leave from nowhere else. `then`: the last one is gone. */
  retire(then: () => void): void {
    this.#carried = undefined;
    this.#whenIdle = then;
    this.lookIdle();
  }

  /** What has arrived by now is read then. */
  readAll(): Promise<void> {
    return untilQuiet(() => this.#arrivals);
  }

  /** Leaves what arrives to a successor that has the same socket. */
  leaveReceiving(): void {
    stopReceiving(this.#socket);
  }

  /** Ends its clients, and stays where it is to linger. */
  endAll(): void {
    for (const client of [...this.#clients.values()]) client.end();
  }

  get lingers(): boolean {
    return this.#lingers();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#whenIdle = undefined;
    this.endAll();
    this.#socket.close();
  }

  /** Closes where it is retired and has no reason to stay. */
  lookIdle(): void {
    if (this.#clients.size > 0 || !this.#whenIdle || this.#lingers()) return;
    const then = this.#whenIdle;
    this.close();
    then();
  }

  #arrived(datagram: Buffer, from: RemoteInfo): void {
    this.#arrivals += 1;
    const key = `${from.address} ${from.port}`;
    let known = this.#clients.get(key);
    if (!known && this.#carried) {
      const client = this.#carried.admit(from.address, from.port, UDP_DESCRIPTORS);
      if (client) known = this.#begin(key, this.#carried, client);
    }
    known?.send(datagram);
  }

  #begin(key: string, carried: Carried, client: Client): UdpClient {
    const { address, port } = this.place;
    const begun = new UdpClient({
      carried,
      client,
      side: { address, port, reply: (datagram, to) => this.#reply(datagram, to) },
      onEnd: () => {
        this.#clients.delete(key);
        this.lookIdle();
      },
    });
    this.#clients.set(key, begun);
    return begun;
  }

  #reply(datagram: Buffer, { address, port }: Client): void {
    if (this.#closed || this.#socket.getSendQueueSize() > MOST_WAITING) return;
    // A client that is gone is no error of the socket that serves the others.
    this.#socket.send(datagram, port, address, () => {});
  }
}

/** With an address in place of a name, it may be bound before `bind` returns. */
function bound(socket: Socket, options: BindOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.once('listening', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.bind(options);
  });
}

async function closed(socket: Socket): Promise<void> {
  const done = once(socket, 'close');
  socket.close();
  await done;
}
