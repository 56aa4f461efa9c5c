import { digestsEqual, EMPTY_DIGEST, xorInto } from '@gwctl/shared/domain/digest';
import { err, ok, type Result } from '@gwctl/shared/domain/result';
import { entryHash } from '@gwctl/shared/hash/entry-hash';
import { put } from '../planner/sorted.js';
import type { ReadEntry } from '../planner/types.js';
import { readEntry } from './entry-codec.js';
import { type Change, type Entry, type Held, MAX_FORWARDS, type Snapshot } from './types.js';

interface Item {
  readonly kind: Entry['kind'];
  /** The entry's bytes, one a character: tens of thousands of small arrays would take several times the room. */
  readonly packed: string;
  /** Undefined for settings. */
  readonly read?: ReadEntry;
}

/** More than so many changes at once, and the list is sorted anew. */
const FEW = 256;

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

/** One gateway's desired state in memory, with the digest that both sides compare. */
export class DesiredSet {
  private sorted: readonly ReadEntry[] | undefined;
  private settingsEntry: Entry | undefined;

  private constructor(
    private readonly items: Map<string, Item>,
    private at: Held,
  ) {
    for (const [uid, item] of items) if (item.kind === 'settings') this.settingsEntry = unpacked(uid, item);
  }

  /** Takes a whole snapshot; refused where it does not add up to its own digest. */
  static of(snapshot: Snapshot | (Held & { readonly entries: readonly Entry[] })): Result<DesiredSet, Refusal> {
    const { epoch, revision, digest } = snapshot;
    if (snapshot.entries.length > MAX_FORWARDS) return err(tooMany(snapshot.entries.length));
    const items = new Map<string, Item>();
    let sum = EMPTY_DIGEST;
    for (const entry of snapshot.entries) {
      if (items.has(entry.uid))
        return err({ reason: 'DUPLICATE_UID', message: `the snapshot at revision ${revision} names a forward twice` });
      items.set(entry.uid, read(entry));
      sum = xorInto(sum, entryHash(entry.uid, entry.bytes));
    }
    if (!digestsEqual(sum, digest)) return err(mismatch(`the snapshot at revision ${revision}`));
    return ok(new DesiredSet(items, { epoch, revision, digest }));
  }

  get held(): Held {
    return this.at;
  }

  get size(): number {
    return this.items.size;
  }

  /** Forwards and egresses in order of uid. A new list for each change of it. */
  reads(): readonly ReadEntry[] {
    this.sorted ??= [...this.items.values()].flatMap(({ read }) => read ?? []).sort((a, b) => (a.uid < b.uid ? -1 : 1));
    return this.sorted;
  }

  read(uid: string): ReadEntry | undefined {
    return this.items.get(uid)?.read;
  }

  /** What holds for all of the gateway; undefined where the control plane says nothing of it. */
  settings(): Entry | undefined {
    return this.settingsEntry;
  }

  entries(): Entry[] {
    return [...this.items].map(([uid, item]) => unpacked(uid, item));
  }

  /** Works out what changes in a row lead to, without taking them. Each must start where the one before ended. */
  stage(changes: readonly Change[]): Result<Staged, Refusal> {
    const staged = new Map<string, Item | undefined>();
    const current = (uid: string) => (staged.has(uid) ? staged.get(uid) : this.items.get(uid));
    let { revision, digest } = this.at;
    let size = this.items.size;
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
        digest = xorInto(digest, hashOf(uid, old));
        staged.set(uid, undefined);
        size--;
      }
      for (const entry of change.upserts) {
        const old = current(entry.uid);
        const item = read(entry);
        if (old) digest = xorInto(digest, hashOf(entry.uid, old));
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
    const sorted = this.sorted && staged.items.size <= FEW ? this.sorted.slice() : undefined;
    for (const [uid, item] of staged.items) {
      if (this.settingsEntry?.uid === uid) this.settingsEntry = undefined;
      if (item?.kind === 'settings') this.settingsEntry = unpacked(uid, item);
      if (item) this.items.set(uid, item);
      else this.items.delete(uid);
      if (sorted) put(sorted, uid, item?.read);
    }
    this.sorted = sorted;
    this.at = staged.held;
  }
}

function read(entry: Entry): Item {
  const packed = Buffer.from(entry.bytes).toString('latin1');
  return entry.kind === 'settings' ? { kind: entry.kind, packed } : { kind: entry.kind, packed, read: readEntry(entry) };
}

const unpacked = (uid: string, { kind, packed }: Item): Entry => ({ uid, kind, bytes: Buffer.from(packed, 'latin1') });

const hashOf = (uid: string, item: Item): Uint8Array => entryHash(uid, unpacked(uid, item).bytes);

const mismatch = (what: string): Refusal => ({
  reason: 'DIGEST_MISMATCH',
  message: `${what} does not add up to the digest that came with it`,
});

const tooMany = (count: number): Refusal => ({
  reason: 'TOO_MANY_FORWARDS',
  message: `${count} forwards are wanted here; a gateway carries at most ${MAX_FORWARDS}`,
});
