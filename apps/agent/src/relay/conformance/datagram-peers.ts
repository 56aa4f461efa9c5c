import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { Waiting } from './waiting.js';

export interface Datagram {
  readonly data: Buffer;
  readonly address: string;
  readonly port: number;
}

/** A UDP socket with what it got: a client, or a target. */
export class DatagramPeer {
  readonly address: string;
  readonly port: number;
  readonly socket: Socket;
  readonly #waiting = new Waiting();
  readonly #fresh: Datagram[] = [];
  received = 0;
  #closed = false;

  private constructor(socket: Socket, address: string, port: number) {
    this.socket = socket;
    this.address = address;
    this.port = port;
    socket.setRecvBufferSize(4_194_304);
    socket.on('message', (data: Buffer, from: RemoteInfo) => {
      this.received += 1;
      this.#fresh.push({ data, address: from.address, port: from.port });
      this.#waiting.happened();
    });
  }

  static open(address = '127.0.0.1', port = 0): Promise<DatagramPeer> {
    const socket = createSocket(address.includes(':') ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' });
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ address, port }, () => resolve(new DatagramPeer(socket, address, socket.address().port)));
    });
  }

  send(data: string | Buffer, to: { readonly address: string; readonly port: number }): this {
    this.socket.send(data, to.port, to.address);
    return this;
  }

  next(): Promise<Datagram> {
    return this.#waiting.until(() => this.#fresh.shift());
  }

  async text(): Promise<string> {
    return (await this.next()).data.toString('latin1');
  }

  /** Sends each back to where it came from. */
  echo(): this {
    this.socket.on('message', (data, from) => this.socket.send(data, from.port, from.address));
    return this;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.socket.close();
  }
}
