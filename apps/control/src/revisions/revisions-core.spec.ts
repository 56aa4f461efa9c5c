import { EMPTY_DIGEST, xorInto } from '@gwctl/shared/domain/digest';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { placementDifference } from '../placement/difference.js';
import { decideStart, digestAfter, type EntryKind, foldChanges, type LoggedChange } from './revisions-core.js';

const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n);
const version = (epoch: string, revision: bigint, n: number) => ({ epoch, revision, digest: hash(n) });

describe('how a session starts', () => {
  const current = version('e', 9n, 9);
  it.each([
    ['resumes at the present revision', version('e', 9n, 9), undefined, { kind: 'resume', revision: 9n }],
    ['resumes at an older one that the log knows', version('e', 5n, 5), hash(5), { kind: 'resume', revision: 5n }],
    ['sends all where the log does not reach', version('e', 5n, 5), undefined, { kind: 'snapshot' }],
    ['sends all where the contents differ', version('e', 5n, 6), hash(5), { kind: 'snapshot' }],
    ['sends all where the contents differ now', version('e', 9n, 8), undefined, { kind: 'snapshot' }],
    ['sends all to whoever holds nothing', version('', 0n, 0), undefined, { kind: 'snapshot' }],
    ['sends all in another epoch', version('f', 9n, 9), undefined, { kind: 'snapshot' }],
    ['needs a new epoch for a revision that was never issued', version('e', 10n, 1), undefined, { kind: 'new-epoch' }],
  ])('%s', (_, held, recorded, expected) => {
    expect(decideStart(held, current, recorded)).toEqual(expected);
  });
});

describe('digest', () => {
  it('is that of what stands, after any sequence of changes', () => {
    const step = fc.record({ forward: fc.integer({ min: 0, max: 4 }), content: fc.option(fc.integer({ min: 1, max: 250 })) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const standing = new Map<number, Uint8Array>();
        let digest = EMPTY_DIGEST;
        for (const { forward, content } of steps) {
          const before = standing.get(forward);
          const wanted = content === null ? [] : [{ gatewayUid: 'g', desired: hash(content), hash: hash(content) }];
          const [change] = placementDifference(before ? [{ gatewayUid: 'g', hash: before }] : [], wanted);
          if (!change) continue;
          digest = digestAfter(digest, change);
          if (change.kind === 'upsert') standing.set(forward, change.hash);
          else standing.delete(forward);
        }
        expect(digest).toEqual([...standing.values()].reduce(xorInto, EMPTY_DIGEST));
      }),
    );
  });
});

describe('folding', () => {
  const row = (revision: number, entryUid: string, n?: number, kind: EntryKind = 'forward'): LoggedChange => ({
    revision: BigInt(revision),
    entryUid,
    kind,
    desired: n === undefined ? undefined : hash(n),
    digest: hash(revision),
  });

  it('keeps the last word on each entry, and what it is of', () => {
    const folded = foldChanges(3n, [row(4, 'a', 1, 'egress'), row(5, 'b', 2), row(6, 'a', 3, 'egress'), row(7, 'b')]);
    expect(folded).toEqual({
      fromRevision: 3n,
      revision: 7n,
      upserts: [{ uid: 'a', kind: 'egress', desired: hash(3) }],
      removals: ['b'],
      digest: hash(7),
    });
  });

  it('folds nothing over a gap', () => {
    expect(foldChanges(3n, [])).toBeUndefined();
    expect(foldChanges(3n, [row(5, 'a', 1)])).toBeUndefined();
    expect(foldChanges(3n, [row(4, 'a', 1), row(6, 'a', 1)])).toBeUndefined();
  });

  it('ends where replaying one by one ends', () => {
    const changes = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.option(fc.integer({ min: 1, max: 9 }))), {
      minLength: 1,
    });
    fc.assert(
      fc.property(changes, (all) => {
        const rows = all.map(([uid, n], i) => row(i + 1, uid, n ?? undefined));
        const replayed = new Map<string, Uint8Array>();
        for (const r of rows) {
          if (r.desired) replayed.set(r.entryUid, r.desired);
          else replayed.delete(r.entryUid);
        }
        const folded = foldChanges(0n, rows);
        expect(new Map(folded?.upserts.map((u) => [u.uid, u.desired]))).toEqual(replayed);
        expect(folded?.revision).toBe(BigInt(rows.length));
      }),
    );
  });
});
