import type { GatewaySettings } from '@gwctl/shared/domain/gateway-settings';
import type { Listed } from '../planner/sorted-list.js';
import type { ReadEntry } from '../planner/types.js';

/** The most forwards and egresses that one gateway carries. A control plane that asks for more is not believed. */
export const MAX_FORWARDS = 50_000;

/** One thing as the control plane sent it: the bytes are what is hashed and stored. */
export interface Entry {
  /** Of the forward or the egress; of settings, the gateway's. */
  readonly uid: string;
  readonly kind: EntryKind;
  readonly bytes: Uint8Array;
}

/** `unknown`: what a newer control plane sends, kept for a newer agent. */
export type EntryKind = 'forward' | 'egress' | 'settings' | 'unknown';

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
  /** Forwards and egresses, in order of uid. The same objects for as long as they are the same. */
  readonly entries: Listed<ReadEntry>;
  readonly settings: GatewaySettings;
}
