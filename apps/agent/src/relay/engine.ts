/** The port that both engines implement: the native one, which calls libc from worker threads, and the portable one, which is Node.js. */
import type { RelayedForward, RelayTarget, Transport } from './types.js';

/** A listening socket that another process opened and this one goes on with. It stays the same socket: nobody in its queue is lost. */
export interface ListeningSocket {
  readonly transport: Transport;
  /** In text: where it is bound, `0.0.0.0` or `::` for every address of a family. */
  readonly address: string;
  readonly port: number;
  readonly interface?: string;
  /** Descriptor in this process. */
  readonly fd: number;
}

/** Traffic of one forward since the engine carries it. */
export interface ForwardCounts {
  readonly uid: string;
  /** Payload of both directions. */
  readonly bytes: number;
  /** UDP datagrams of both directions. What TCP is cut into is the kernel's business. */
  readonly datagrams: number;
  /** Opened: TCP connections accepted and let in, UDP clients seen. */
  readonly flows: number;
  /** Refused by the allow-list. */
  readonly refused: number;
  /** Refused because a limit was reached: the forward's, the client's or the process's. */
  readonly limited: number;
  /** Accepted, and ended because no target could be reached. */
  readonly failed: number;
  /** Open now. */
  readonly open: number;
  readonly targets: readonly TargetCounts[];
}

/** What connecting showed of a target. */
export interface TargetCounts {
  readonly address: string;
  readonly port: number;
  readonly open: number;
  /** Unknown until a connection was tried. */
  readonly health: 'unknown' | 'healthy' | 'unhealthy';
  /** Why it is unhealthy, for people. */
  readonly trouble?: string;
  /** Microseconds that the last connect took. */
  readonly rttUs?: number;
}

/** One TCP connection or UDP client. */
export interface RelayFlow {
  readonly uid: string;
  readonly transport: Transport;
  /** `ADDRESS:PORT`, IPv6 in brackets: the client, the address it came to, the relay's own towards the target, the target. */
  readonly client: string;
  readonly listener: string;
  readonly source: string;
  readonly target: string;
  /** Milliseconds since it was opened, and since something moved. */
  readonly age: number;
  readonly idle: number;
  readonly bytesToTarget: number;
  readonly bytesToClient: number;
}

/** What an engine uses of the process; bounded, and watched in tests. */
export interface EngineUse {
  readonly connections: number;
  readonly clients: number;
  /** Pipes of the pool, in use and spare. */
  readonly pipes: number;
  readonly descriptors: number;
  readonly descriptorLimit: number;
  /** Accepting rests because few descriptors are left. */
  readonly paused: boolean;
}

/** Share of the descriptors from which on they are called nearly used up. */
const NEARLY = 0.9;

/** Whether the process is about to refuse connections for want of descriptors, or does so already. */
export const fewDescriptors = ({ descriptors, descriptorLimit, paused }: EngineUse): boolean =>
  paused || descriptors > descriptorLimit * NEARLY;

/** A listener could not be opened. The message names address, port and why, for people. */
export interface ListenFailure {
  readonly reason: 'PORT_IN_USE' | 'PORT_NOT_PERMITTED' | 'ADDRESS_UNKNOWN' | 'INTERFACE_UNKNOWN' | 'LISTEN_FAILED';
  readonly message: string;
}

export interface Engine {
  readonly name: 'native' | 'portable';
  /**
   * Carries a forward, or carries it as it is now: listeners that stay the same are not touched, new ones open before old ones close.
   * What exists of flows is treated as `onChange` of the new one says: `drain` leaves them, but UDP moves at once; `cut` ends those to
   * targets that are no longer there; `keep` leaves all. Those of clients that are no longer let in end in any case. Resolves to a failure where a
   * listener does not open; everything is then as it was before.
   */
  set(forward: RelayedForward): Promise<ListenFailure | undefined>;
  /** Closes the listeners. `drain`, `keep`: what exists goes on to its end, at UDP until it is idle; `cut`: ends now. */
  remove(uid: string): Promise<void>;
  /** Of every forward that is set, also while it drains. */
  counts(): Promise<readonly ForwardCounts[]>;
  /** At most `most`, of one forward or all. */
  flows(question: { readonly uid?: string; readonly most: number }): Promise<readonly RelayFlow[]>;
  use(): Promise<EngineUse>;
  /** Every listening socket, for a successor to go on with. Both may accept for a while. */
  listening(): Promise<readonly ListeningSocket[]>;
  /**
   * Opens nothing new and accepts nothing more. The descriptors of the listeners are closed and the sockets are not shut down: a successor
   * that has them goes on, and can let go of them. Resolves once the last flow has ended.
   */
  drain(): Promise<void>;
  /** Ends everything. */
  stop(): Promise<void>;
}

export interface EngineOptions {
  /** What a predecessor left: used by the first {@link Engine.set} that wants them; what nobody wants is closed by the caller's word. */
  readonly inherited: readonly ListeningSocket[];
  /** For the native engine; default: one for each processor, at most 4. */
  readonly threads?: number;
  /** Descriptors that are kept for everything that is no forward. Default 64. */
  readonly reserve?: number;
  /** A target became reachable or unreachable, or a listener died. */
  readonly onChange?: (uid: string) => void;
}

/** Targets of a forward as a key that tells them apart: `ADDRESS PORT`. */
export const targetKey = ({ address, port }: Pick<RelayTarget, 'address' | 'port'>): string => `${address.text} ${port}`;
