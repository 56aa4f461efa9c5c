import { addressText } from '@gwctl/shared/domain/ip-bytes';
import { Block } from '../../system/native/block.js';
import { proxyHeader } from '../core/proxy-protocol.js';
import type { RelayedForward } from '../types.js';

export interface ClientPlace {
  /** 4 or 16 bytes. */
  readonly client: Uint8Array;
  readonly clientPort: number;
  /** The gateway's address and port that the client came to. */
  readonly local: string;
  readonly port: number;
}

/**
 * The PROXY header of one client, where sendmmsg can take it from. Every datagram begins with it: the specification puts it at the
 * beginning of a connection and says nothing of datagrams, of which each may be the first that arrives. The receivers that there are for
 * UDP (BIND, Unbound, Knot, PowerDNS, dnsdist) expect it in each.
 */
export class DatagramHeader {
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly #block: Block;

  private constructor(header: Uint8Array) {
    this.length = header.length;
    this.#block = new Block((header.length + 7) & ~7);
    this.#block.bytes.set(header);
    this.bytes = this.#block.bytes.subarray(0, header.length);
  }

  /** Undefined: the forward's targets get none. */
  static of({ proxyProtocol }: RelayedForward, { client, clientPort, local, port }: ClientPlace): DatagramHeader | undefined {
    if (!proxyProtocol) return undefined;
    const from = { address: addressText(client), port: clientPort };
    return new DatagramHeader(proxyHeader(proxyProtocol, { transport: 'udp', client: from, listener: { address: local, port } }));
  }

  get address(): number {
    return this.#block.address;
  }
}
