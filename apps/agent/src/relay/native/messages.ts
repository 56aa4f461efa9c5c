import type { EngineUse, ForwardCounts, RelayFlow } from '../engine.js';
import type { RelayedForward } from '../types.js';
import type { SharedOut, Stray, TargetNews } from './side.js';

/** What a worker is started with. */
export interface WorkerStart {
  /** An eventfd by which the main thread wakes it: it sleeps in epoll_wait(2), where no message would reach it. */
  readonly wake: number;
  /** Of descriptors.ts. */
  readonly descriptors: SharedArrayBuffer;
  /** The process that left us sockets, and may still hold them. */
  readonly predecessor: number | undefined;
}

export interface FlowQuestion {
  readonly uid?: string;
  readonly most: number;
}

export interface Adopted {
  readonly fd: number;
  /** That the client came to. */
  readonly port: number;
}

/** A UDP socket that no forward has any more, and that stays open for clients. */
export interface DrainingSocket {
  readonly port: number;
  /** Of the socket, by which the kernel's list names it. */
  readonly inode: number;
}

/** To a worker; each with an `id` is answered once. */
export type Order =
  | {
      readonly kind: 'set';
      readonly id: number;
      readonly forward: RelayedForward;
      readonly sockets: readonly SharedOut[];
      readonly memory: SharedArrayBuffer;
    }
  | { readonly kind: 'remove'; readonly id: number; readonly uid: string; readonly cut: boolean }
  | { readonly kind: 'counts'; readonly id: number }
  | { readonly kind: 'flows'; readonly id: number; readonly question: FlowQuestion }
  | { readonly kind: 'use'; readonly id: number }
  | { readonly kind: 'draining'; readonly id: number }
  /** Answered when the last flow has ended. */
  | { readonly kind: 'drain'; readonly id: number }
  /** Connections that waited at listeners which the forward does not have any more, and that it is to carry all the same. */
  | { readonly kind: 'adopt'; readonly uid: string; readonly connections: readonly Adopted[] }
  | { readonly kind: 'learn'; readonly uid: string; readonly news: TargetNews }
  | { readonly kind: 'stray'; readonly stray: Stray }
  | { readonly kind: 'stop' };

export type WorkerUse = Pick<EngineUse, 'connections' | 'clients' | 'pipes'>;

/** What each kind of order is answered with. */
export interface Answers {
  readonly set: undefined;
  readonly remove: undefined;
  readonly counts: readonly ForwardCounts[];
  readonly flows: readonly RelayFlow[];
  readonly use: WorkerUse;
  readonly draining: readonly DrainingSocket[];
  readonly drain: undefined;
}

/** From a worker. */
export type Report =
  | { readonly kind: 'ready' }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  /** The order could not be done. */
  | { readonly kind: 'unable'; readonly id: number; readonly error: unknown }
  | { readonly kind: 'news'; readonly uid: string; readonly news: TargetNews }
  | { readonly kind: 'stray'; readonly stray: Stray }
  | { readonly kind: 'trouble'; readonly what: string; readonly error: unknown };
