import { describe, expect, it } from 'vitest';
import { RevisionTimes } from './revision-times.js';

describe('revision times', () => {
  it('measure each revision once, also those that a later one covers', () => {
    const times = new RevisionTimes();
    times.committed('g', 1n, 100);
    times.committed('g', 2n, 110);
    times.committed('g', 3n, 120);
    expect(times.applied('g', 2n, 130)).toEqual([
      { revision: 1n, sinceCommitMs: 30 },
      { revision: 2n, sinceCommitMs: 20 },
    ]);
    expect(times.applied('g', 2n, 140)).toEqual([]);
    expect(times.applied('g', 3n, 140)).toEqual([{ revision: 3n, sinceCommitMs: 20 }]);
    expect(times.applied('other', 3n, 140)).toEqual([]);
  });

  it('remember no more than a thousand of a gateway whose agent is away', () => {
    const times = new RevisionTimes();
    for (let i = 1; i <= 1_500; i++) times.committed('g', BigInt(i), i);
    expect(times.applied('g', 1_500n, 2_000)).toHaveLength(1_000);
  });
});
