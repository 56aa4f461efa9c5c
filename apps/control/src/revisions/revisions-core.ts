import { digestsEqual, xorInto } from '@gwctl/shared/domain/digest';
import type { PlacementChange } from '../placement/difference.js';

/** What a gateway's desired state is, in short. */
export interface DesiredVersion {
  readonly epoch: string;
  readonly revision: bigint;
  readonly digest: Uint8Array;
}

/** The digest after one placement changed: the old entry's hash taken out, the new one's put in. */
export function digestAfter(digest: Uint8Array, change: PlacementChange): Uint8Array {
  const without = change.replaces ? xorInto(digest, change.replaces) : digest;
  return change.kind === 'upsert' ? xorInto(without, change.hash) : without;
}

/** How a session starts. */
export type Start =
  | { readonly kind: 'resume'; readonly revision: bigint }
  | { readonly kind: 'snapshot' }
  /** The agent holds a revision that this database never issued in this epoch: it was restored without notice. */
  | { readonly kind: 'new-epoch' };

/**
 * Decides how a session starts. An agent resumes only where what it holds is proven right: same epoch, and its digest is the one
 * that this database recorded for that very revision. Everything else gets the whole desired state.
 * @param recorded The digest that the change log has for the revision the agent holds; undefined where the log does not reach.
 */
export function decideStart(held: DesiredVersion, current: DesiredVersion, recorded: Uint8Array | undefined): Start {
  if (held.epoch !== current.epoch) return { kind: 'snapshot' };
  if (held.revision > current.revision) return { kind: 'new-epoch' };
  const digest = held.revision === current.revision ? current.digest : recorded;
  if (!digest || !digestsEqual(held.digest, digest)) return { kind: 'snapshot' };
  return { kind: 'resume', revision: held.revision };
}

/** What an entry of a desired state is of. */
export type EntryKind = 'forward' | 'egress' | 'settings';

/** One thing that a gateway is told. */
export interface DesiredEntry {
  readonly uid: string;
  readonly kind: EntryKind;
  readonly desired: Uint8Array;
}

/** One row of the change log. */
export interface LoggedChange {
  readonly revision: bigint;
  readonly entryUid: string;
  readonly kind: EntryKind;
  /** Undefined: gone. */
  readonly desired: Uint8Array | undefined;
  /** After this revision. */
  readonly digest: Uint8Array;
}

/** Several logged changes as one: from a revision to the last of them, each entry as it stands at the end. */
export interface FoldedChange {
  readonly fromRevision: bigint;
  readonly revision: bigint;
  readonly upserts: readonly DesiredEntry[];
  readonly removals: readonly string[];
  readonly digest: Uint8Array;
}

/** Folds log rows in the order of their revisions; undefined where there are none, or where the log has a gap after `from`. */
export function foldChanges(from: bigint, rows: readonly LoggedChange[]): FoldedChange | undefined {
  const last = rows.at(-1);
  if (!last) return undefined;
  const final = new Map<string, LoggedChange>();
  let revision = from;
  for (const row of rows) {
    if (row.revision !== revision && row.revision !== revision + 1n) return undefined;
    revision = row.revision;
    final.set(row.entryUid, row);
  }
  const upserts: DesiredEntry[] = [];
  const removals: string[] = [];
  for (const [uid, { kind, desired }] of final) {
    if (desired) upserts.push({ uid, kind, desired });
    else removals.push(uid);
  }
  return { fromRevision: from, revision: last.revision, upserts, removals, digest: last.digest };
}
