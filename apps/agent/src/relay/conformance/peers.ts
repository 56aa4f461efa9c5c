import { connect, createServer, type Server, type Socket } from 'node:net';
import { resetSocket } from '../portable/reset.js';
import { Waiting } from './waiting.js';

/** One end of a connection, with what it got and how that ended. */
export class Peer {
  readonly socket: Socket;
  readonly #waiting = new Waiting();
  #chunks: Buffer[] = [];
  #length = 0;
  /** All bytes so far. */
  received = 0;
  ended = false;
  /** Errno's name. */
  error: string | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.received += chunk.length;
      this.#waiting.happened();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#waiting.happened();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error ??= error.code ?? error.message;
      this.#waiting.happened();
    });
    socket.on('close', () => this.#waiting.happened());
  }

  /** Does not wait until it is connected. `from`: the own address. */
  static connect(address: string, port: number, from?: string): Peer {
    return new Peer(connect({ host: address, port, allowHalfOpen: true, ...(from === undefined ? {} : { localAddress: from }) }));
  }

  get localPort(): number {
    return this.socket.localPort ?? 0;
  }

  send(data: string | Buffer): this {
    this.socket.write(data);
    return this;
  }

  /** No more from here; what comes is still taken. */
  end(data?: string | Buffer): this {
    if (data !== undefined) this.socket.end(data);
    else this.socket.end();
    return this;
  }

  reset(): void {
    resetSocket(this.socket);
  }

  /** The next `length` bytes, as text. */
  async read(length: number): Promise<string> {
    return (await this.take(length)).toString('latin1');
  }

  async take(length: number): Promise<Buffer> {
    await this.#waiting.until(() => {
      if (this.#length >= length) return true;
      if (this.ended || this.error !== undefined || this.socket.destroyed)
        throw new Error(`${this.#length} of ${length} bytes came, then ${this.error ?? 'the end'}`);
      return undefined;
    });
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all.subarray(length)];
    this.#length = all.length - length;
    return all.subarray(0, length);
  }

  /** Everything until the end; an error where it was reset. */
  async rest(): Promise<Buffer> {
    const how = await this.ending();
    if (how !== 'end') throw new Error(`ended with ${how}`);
    return this.take(this.#length);
  }

  /** How the other side ended it: with an orderly end of its direction, or with a reset. */
  ending(): Promise<'end' | 'reset'> {
    return this.#waiting.until(() => {
      if (this.error === 'ECONNRESET' || this.error === 'EPIPE') return 'reset';
      if (this.error !== undefined) throw new Error(`ended with ${this.error}`);
      return this.ended ? 'end' : undefined;
    });
  }
}

/** A target, or a program that has a port. */
export class Service {
  readonly address: string;
  readonly port: number;
  readonly #server: Server;
  readonly #waiting = new Waiting();
  readonly #fresh: Peer[] = [];
  readonly peers: Peer[] = [];

  private constructor(server: Server, address: string, port: number) {
    this.#server = server;
    this.address = address;
    this.port = port;
    server.on('connection', (socket) => {
      const peer = new Peer(socket);
      this.peers.push(peer);
      this.#fresh.push(peer);
      this.#waiting.happened();
    });
  }

  static start(address = '127.0.0.1', port = 0): Promise<Service> {
    const server = createServer({ allowHalfOpen: true });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address, port, ipv6Only: true }, () => {
        const bound = server.address();
        if (bound === null || typeof bound === 'string') reject(new Error('no port'));
        else resolve(new Service(server, address, bound.port));
      });
    });
  }

  /** The next connection that nobody asked for yet. */
  next(): Promise<Peer> {
    return this.#waiting.until(() => this.#fresh.shift());
  }

  /** The same, if there is one already. */
  nextNow(): Peer | undefined {
    return this.#fresh.shift();
  }

  /** Sends back what comes, and its end. */
  echo(): this {
    this.#server.on('connection', (socket) => {
      socket.on('data', (chunk) => {
        if (!socket.write(chunk)) socket.pause();
      });
      socket.on('drain', () => socket.resume());
      socket.on('end', () => socket.end());
    });
    return this;
  }

  close(): void {
    this.#server.close();
    for (const { socket } of this.peers) socket.destroy();
  }
}
