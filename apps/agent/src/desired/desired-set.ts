import { digestsEqual, EMPTY_DIGEST, xorInto } from '@gwctl/shared/domain/digest';
import { err, ok, type Result } from '@gwctl/shared/domain/result';
import { entryHash } from '@gwctl/shared/hash/entry-hash';
import { SortedList } from '../planner/sorted-list.js';
import type { ReadEntry } from '../planner/types.js';
import { readEntry } from './entry-codec.js';
import { type Change, type Entry, type Held, MAX_FORWARDS, type Snapshot } from './types.js';

interface Item {
  readonly uid: string;
  readonly kind: Entry['kind'];
  /** The entry's bytes, one a character: tens of thousands of small arrays would take several times the room. */
  readonly packed: string;
  /** Undefined for settings. */
  readonly read?: ReadEntry;
}

/** Why something that the control plane sent is not taken. */
export interface Refusal {
  readonly reason: 'DIGEST_MISMATCH' | 'REVISION_GAP' | 'DUPLICATE_UID' | 'TOO_MANY_FORWARDS';
  readonly message: string;
}

/** What a run of changes leads to, worked out before anything is written. */
export interface Staged {
  readonly held: Held;
  readonly changes: readonly Change[];
  /** The changes' sum: undefined for a forward that is gone. */
  readonly items: ReadonlyMap<string, Item | undefined>;
}

const byUid = (a: { readonly uid: string }, b: { readonly uid: string }): number => (a.uid < b.uid ? -1 : 1);

/** One gateway's desired state in memory, with the digest that both sides compare. */
export class DesiredSet {
  /** Forwards and egresses. */
  private readable: SortedList<ReadEntry>;
  private settingsEntry: Entry | undefined;

  private constructor(
    private items: SortedList<Item>,
    private at: Held,
  ) {
    this.readable = SortedList.from(items.flatMap(({ read }) => read ?? []));
    const settings = items.find((item) => item.kind === 'settings');
    if (settings) this.settingsEntry = unpacked(settings);
  }

  /** Takes a whole snapshot; refused where it does not add up to its own digest. */
  static of(snapshot: Snapshot | (Held & { readonly entries: readonly Entry[] })): Result<DesiredSet, Refusal> {
    const { epoch, revision, digest } = snapshot;
    if (snapshot.entries.length > MAX_FORWARDS) return err(tooMany(snapshot.entries.length));
    const entries = [...snapshot.entries].sort(byUid);
    if (entries.some((entry, i) => entry.uid === entries[i + 1]?.uid))
      return err({ reason: 'DUPLICATE_UID', message: `the snapshot at revision ${revision} names a forward twice` });
    let sum = EMPTY_DIGEST;
    for (const entry of entries) sum = xorInto(sum, entryHash(entry.uid, entry.bytes));
    if (!digestsEqual(sum, digest)) return err(mismatch(`the snapshot at revision ${revision}`));
    return ok(new DesiredSet(SortedList.from(entries.map(read)), { epoch, revision, digest }));
  }

  get held(): Held {
    return this.at;
  }

  get size(): number {
    return this.items.length;
  }

  /** Forwards and egresses. A new list for each change of it. */
  reads(): SortedList<ReadEntry> {
    return this.readable;
  }

  read(uid: string): ReadEntry | undefined {
    return this.items.get(uid)?.read;
  }

  /** What holds for all of the gateway; undefined where the control plane says nothing of it. */
  settings(): Entry | undefined {
    return this.settingsEntry;
  }

  entries(): Entry[] {
    return this.items.map(unpacked);
  }

  /** Works out what changes in a row lead to, without taking them. Each must start where the one before ended. */
  stage(changes: readonly Change[]): Result<Staged, Refusal> {
    const staged = new Map<string, Item | undefined>();
    const current = (uid: string) => (staged.has(uid) ? staged.get(uid) : this.items.get(uid));
    let { revision, digest } = this.at;
    let size = this.items.length;
    for (const change of changes) {
      if (change.from !== revision || change.revision <= change.from)
        return err({
          reason: 'REVISION_GAP',
          message: `a change from revision ${change.from} to ${change.revision} came, but revision ${revision} is held`,
        });
      for (const uid of change.removals) {
        const old = current(uid);
        // A removal of what is not there changes nothing; the digest says whether both sides agree on that.
        if (!old) continue;
        digest = xorInto(digest, hashOf(old));
        staged.set(uid, undefined);
        size--;
      }
      for (const entry of change.upserts) {
        const old = current(entry.uid);
        const item = read(entry);
        if (old) digest = xorInto(digest, hashOf(old));
        else size++;
        digest = xorInto(digest, entryHash(entry.uid, entry.bytes));
        staged.set(entry.uid, item);
      }
      if (size > MAX_FORWARDS) return err(tooMany(size));
      if (!digestsEqual(digest, change.digest)) return err(mismatch(`the change to revision ${change.revision}`));
      revision = change.revision;
    }
    return ok({ held: { epoch: this.at.epoch, revision, digest }, changes, items: staged });
  }

  commit(staged: Staged): void {
    const edits = [...staged.items];
    const gone = edits.map(([uid]) => ({ uid }));
    const come = edits.flatMap(([, item]) => item ?? []);
    for (const [uid, item] of edits) {
      if (this.settingsEntry?.uid === uid) this.settingsEntry = undefined;
      if (item?.kind === 'settings') this.settingsEntry = unpacked(item);
    }
    this.items = this.items.with({ gone, come });
    this.readable = this.readable.with({ gone, come: come.flatMap(({ read }) => read ?? []) });
    this.at = staged.held;
  }
}

function read(entry: Entry): Item {
  const { uid, kind } = entry;
  const { buffer, byteOffset, byteLength } = entry.bytes;
  const packed = Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
  return kind === 'settings' ? { uid, kind, packed } : { uid, kind, packed, read: readEntry(entry) };
}

const unpacked = ({ uid, kind, packed }: Item): Entry => ({ uid, kind, bytes: Buffer.from(packed, 'latin1') });

const hashOf = (item: Item): Uint8Array => entryHash(item.uid, unpacked(item).bytes);

const mismatch = (what: string): Refusal => ({
  reason: 'DIGEST_MISMATCH',
  message: `${what} does not add up to the digest that came with it`,
});

const tooMany = (count: number): Refusal => ({
  reason: 'TOO_MANY_FORWARDS',
  message: `${count} forwards are wanted here; a gateway carries at most ${MAX_FORWARDS}`,
});
