import { digestsEqual, EMPTY_DIGEST, xorInto } from '@gwctl/shared/domain/digest';
import { err, ok, type Result } from '@gwctl/shared/domain/result';
import { entryHash } from '@gwctl/shared/hash/entry-hash';
import { readEntry } from './entry-codec.js';
import { type Change, type Entry, type Held, MAX_FORWARDS, type ReadEntry, type Snapshot } from './types.js';

interface Item {
  readonly forward: Uint8Array;
  readonly hash: Uint8Array;
  readonly read: ReadEntry;
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

/** One gateway's desired state in memory, with the digest that both sides compare. */
export class DesiredSet {
  private constructor(
    private readonly items: Map<string, Item>,
    private at: Held,
  ) {}

  /** Takes a whole snapshot; refused where it does not add up to its own digest. */
  static of(snapshot: Snapshot | (Held & { readonly entries: readonly Entry[] })): Result<DesiredSet, Refusal> {
    const { epoch, revision, digest } = snapshot;
    if (snapshot.entries.length > MAX_FORWARDS) return err(tooMany(snapshot.entries.length));
    const items = new Map<string, Item>();
    let sum = EMPTY_DIGEST;
    for (const entry of snapshot.entries) {
      if (items.has(entry.uid))
        return err({ reason: 'DUPLICATE_UID', message: `the snapshot at revision ${revision} names a forward twice` });
      const item = read(entry);
      items.set(entry.uid, item);
      sum = xorInto(sum, item.hash);
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

  reads(): ReadEntry[] {
    return [...this.items.values()].map((item) => item.read);
  }

  read(uid: string): ReadEntry | undefined {
    return this.items.get(uid)?.read;
  }

  entries(): Entry[] {
    return [...this.items].map(([uid, item]) => ({ uid, forward: item.forward }));
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
        digest = xorInto(digest, old.hash);
        staged.set(uid, undefined);
        size--;
      }
      for (const entry of change.upserts) {
        const old = current(entry.uid);
        const item = read(entry);
        if (old) digest = xorInto(digest, old.hash);
        else size++;
        digest = xorInto(digest, item.hash);
        staged.set(entry.uid, item);
      }
      if (size > MAX_FORWARDS) return err(tooMany(size));
      if (!digestsEqual(digest, change.digest)) return err(mismatch(`the change to revision ${change.revision}`));
      revision = change.revision;
    }
    return ok({ held: { epoch: this.at.epoch, revision, digest }, changes, items: staged });
  }

  commit(staged: Staged): void {
    for (const [uid, item] of staged.items) {
      if (item) this.items.set(uid, item);
      else this.items.delete(uid);
    }
    this.at = staged.held;
  }
}

function read(entry: Entry): Item {
  return { forward: entry.forward, hash: entryHash(entry.uid, entry.forward), read: readEntry(entry) };
}

const mismatch = (what: string): Refusal => ({
  reason: 'DIGEST_MISMATCH',
  message: `${what} does not add up to the digest that came with it`,
});

const tooMany = (count: number): Refusal => ({
  reason: 'TOO_MANY_FORWARDS',
  message: `${count} forwards are wanted here; a gateway carries at most ${MAX_FORWARDS}`,
});
