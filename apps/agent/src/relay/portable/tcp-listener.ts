import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { type ListenPlace, listenFailure } from '../core/listen-trouble.js';
import type { ListenFailure } from '../engine.js';
import type { Carried } from './carried.js';
import { HIGH_WATER_MARK } from './connect.js';
import { serverDescriptor } from './handles.js';
import { codeOf, type ListenOptions } from './listen-options.js';
import { untilQuiet } from './quiet.js';
import { resetSocket } from './reset.js';
import { acceptTcp } from './tcp-connection.js';

/** Connections that wait in the kernel until they are accepted; it cuts this to net.core.somaxconn. */
const BACKLOG = 4_096;

/** One listening socket for one port. Until it is told for whom, it keeps who comes waiting. */
export class TcpListener {
  readonly place: ListenPlace;
  readonly #server: Server;
  #carried: Carried | undefined;
  #waiting: Socket[] = [];
  #accepted = 0;

  private constructor(place: ListenPlace, server: Server) {
    this.place = place;
    this.#server = server;
    server.on('connection', (socket) => this.#accept(socket));
  }

  /** What is taken already fails with why. */
  static async open(place: ListenPlace, options: ListenOptions): Promise<TcpListener | ListenFailure> {
    const { fd, probe, died } = options;
    const { address: host, port } = place;
    const base = { host, port, ipv6Only: true };
    try {
      if (probe) await closed(await listening(createServer(), (server) => server.listen(base)));
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, highWaterMark: HIGH_WATER_MARK });
      const listener = new TcpListener(place, server);
      // The queue of one that listens already is set anew, and only by the second argument.
      if (fd !== undefined) await listening(server, () => server.listen({ fd }, BACKLOG));
      else await listening(server, () => server.listen({ ...base, backlog: BACKLOG, reusePort: true }));
      server.on('error', died);
      return listener;
    } catch (error) {
      return listenFailure(place, codeOf(error));
    }
  }

  get fd(): number | undefined {
    return serverDescriptor(this.#server);
  }

  carry(carried: Carried): void {
    this.#carried = carried;
    for (const socket of this.#waiting.splice(0)) this.#accept(socket);
  }

  /** Accepts what already waits, and closes then: closing at once would reset it. */
  async close(): Promise<void> {
    await untilQuiet(() => this.#accepted);
    for (const socket of this.#waiting.splice(0)) resetSocket(socket);
    this.#server.close();
  }

  #accept(socket: Socket): void {
    this.#accepted += 1;
    if (this.#carried) acceptTcp(this.#carried, socket, this.place.port);
    else this.#waiting.push(socket);
  }
}

async function listening(server: Server, listen: (server: Server) => void): Promise<Server> {
  listen(server);
  await once(server, 'listening');
  return server;
}

async function closed(server: Server): Promise<void> {
  server.close();
  await once(server, 'close');
}
