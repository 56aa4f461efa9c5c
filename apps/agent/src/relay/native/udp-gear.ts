import { type DatagramCalls, loadDatagramCalls } from '../../system/native/datagram-calls.js';
import { ReceiveBatch } from '../../system/native/receive-batch.js';
import type { RelayLibc } from '../../system/native/relay-libc.js';
import { SendBatch } from '../../system/native/send-batch.js';
import type { EpollLoop } from './epoll-loop.js';
import type { SideHost } from './side.js';
import type { UdpAssociation } from './udp-association.js';
import { UdpReplies } from './udp-replies.js';

/** Datagrams taken with one call. */
export const SLOTS = 64;

/** What all UDP sockets of a worker share: one thread does one thing at a time, so one set of buffers serves all. */
export class UdpGear {
  readonly loop: EpollLoop;
  readonly libc: RelayLibc;
  readonly host: SideHost;
  readonly calls: DatagramCalls;
  /** From clients. What is in it is sent on before anything else is received into it. */
  readonly inbound: ReceiveBatch;
  /** The next slot of the same client in {@link inbound}, -1: none. */
  readonly nextOfClient = new Int32Array(SLOTS);
  /** To a target, on its connected socket. */
  readonly onward: SendBatch<UdpAssociation>;
  readonly replies: UdpReplies;

  constructor({ loop, libc, host }: { readonly loop: EpollLoop; readonly libc: RelayLibc; readonly host: SideHost }) {
    this.loop = loop;
    this.libc = libc;
    this.host = host;
    this.calls = loadDatagramCalls();
    this.inbound = new ReceiveBatch({ calls: this.calls, slots: SLOTS, names: true });
    this.onward = new SendBatch({ calls: this.calls, most: SLOTS });
    this.replies = new UdpReplies({ loop, calls: this.calls });
  }
}
