import type { Violation } from '@gwctl/shared/domain/result';
import type { DesiredForward } from '../planner/types.js';

/** The most forwards that one gateway carries. A control plane that asks for more is not believed. */
export const MAX_FORWARDS = 50_000;

/** One forward as the control plane sent it: the bytes are what is hashed and stored. */
export interface Entry {
  readonly uid: string;
  readonly forward: Uint8Array;
}

/** What an entry turned out to be. An entry that cannot be read concerns nobody else. */
export type ReadEntry =
  | { readonly kind: 'forward'; readonly forward: DesiredForward }
  | {
      readonly kind: 'invalid';
      readonly uid: string;
      /** 0 where it could not be read. */
      readonly generation: number;
      readonly name: string;
      readonly violations: readonly Violation[];
    };

/** A point in the history of one gateway's desired state. */
export interface Held {
  /** Random id of the control plane's database; revisions count within it. */
  readonly epoch: string;
  readonly revision: number;
  readonly digest: Uint8Array;
}

/** The complete desired state at a revision. */
export interface Snapshot extends Held {
  readonly entries: readonly Entry[];
  /** An operator asked for exactly this, however much it removes. */
  readonly allowMassRemoval: boolean;
}

/** Turns exactly revision `from` into `revision`. */
export interface Change {
  readonly from: number;
  readonly revision: number;
  readonly upserts: readonly Entry[];
  /** Uids. */
  readonly removals: readonly string[];
  /** Of the whole desired state afterwards. */
  readonly digest: Uint8Array;
}

export type Source = 'disk' | 'control-plane';

/** What the reconciler reads. */
export interface DesiredView {
  /** False until a whole snapshot is known, from disk or from the control plane; until then nothing may be changed on the host. */
  readonly complete: boolean;
  readonly epoch: string;
  readonly revision: number;
  readonly entries: readonly ReadEntry[];
}
