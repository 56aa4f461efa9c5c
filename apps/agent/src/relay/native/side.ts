import type { EngineUse, ForwardCounts, ListeningSocket, RelayFlow } from '../engine.js';
import type { RelayedForward } from '../types.js';

/**
 * What a native worker carries of one transport. The main thread opens and closes every listening socket, and shares them out: a worker
 * gets descriptors that are ready to be watched, and never fails to listen. Each call runs between two turns of the loop.
 */
export interface Side {
  /**
   * Carries a forward, or carries it as it is now. `mine`: all listening sockets of this forward and transport that this worker has from
   * now on; what it had and is not among them is not watched any more when this returns (the main thread closes it then). Empty where
   * the forward does not have this transport, or this worker none of its sockets. Flows are treated as Engine.set says.
   */
  set(forward: RelayedForward, mine: readonly SharedOut[], shared: SharedCounters): void;
  /** Watches none of its sockets any more. Flows go on to their end, or end now. */
  remove(uid: string, cut: boolean): void;
  /** Forwards with nothing to tell are left out. */
  counts(): readonly ForwardCounts[];
  /** At most `most`. */
  flows(question: { readonly uid?: string; readonly most: number }): readonly RelayFlow[];
  use(): Pick<EngineUse, 'connections' | 'clients' | 'pipes'>;
  /** Stops watching all listening sockets, without closing them. `true` again after a pause (few descriptors) ended. */
  accept(accepting: boolean): void;
  /** Calls `done` once, when the last flow has ended. {@link accept} was told to stop before. */
  drained(done: () => void): void;
  /** Another worker found out how a target is. */
  learn(uid: string, news: TargetNews): void;
  /** Ends everything. */
  stop(): void;
}

/** A listening socket for one worker. */
export interface SharedOut extends ListeningSocket {
  /** Other workers watch the same descriptor: watch it with EPOLLEXCLUSIVE, level-triggered. */
  readonly exclusive: boolean;
  /** A predecessor opened it, and may hold it for its clients when it is closed here. */
  readonly inherited: boolean;
}

/** What came of a connect, where it changed what is thought of the target. */
export interface TargetNews {
  /** As {@link ../engine.js targetKey} gives it. */
  readonly target: string;
  readonly healthy: boolean;
  readonly trouble?: string;
  readonly rttUs?: number;
}

/** What a UDP client sent and a socket got that does not know it. */
export interface Stray {
  /** Of the listener, as placeOf (udp-port.ts) says it. */
  readonly place: string;
  /** Words of the client's key, see udp-clients.ts. */
  readonly key: Int32Array;
  readonly payloads: readonly Uint8Array[];
}

/** Of one forward, the same memory in all workers and both sides. See shared-limits.ts. */
export interface SharedCounters {
  readonly memory: SharedArrayBuffer;
}

/** What a side gets of its worker, beside the loop. */
export interface SideHost {
  /** A target of a forward changed: told to the main thread, and by it to the other workers. */
  changed(uid: string, news: TargetNews): void;
  /** A datagram that perhaps a client of another worker sent: told to the others. */
  strayed(stray: Stray): void;
  /** Something that should not happen, and that was kept to one flow. */
  trouble(what: string, error: unknown): void;
  /** Whether a forward that holds so many descriptors has its share of them; while there is no other, it may have all. */
  crowds(held: number): boolean;
  /** Descriptors that all relays of the process hold, and how many they may. */
  readonly descriptors: Descriptors;
}

export interface Descriptors {
  /** Takes `count` of what may be used; false: there is no room. */
  take(count: number): boolean;
  give(count: number): void;
  /** For who accepts: there was no room, or the kernel said EMFILE or ENFILE. The worker then calls {@link Side.accept} with false. */
  exhausted(): void;
}
