import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HostDesired, PlacedForward } from '../planner/types.js';
import { uidOf } from '../testing/forwards.js';
import { isolate } from './isolate.js';

const placed = (n: number, generation = 2): PlacedForward => ({
  uid: uidOf(n),
  generation,
  key: String(n),
  family: 4,
  listen: { protocol: 'tcp', ports: { first: n + 1, last: n + 1 } },
  targets: [],
  affinity: 'none',
  clampMss: false,
  snat: { mode: 'none' },
  onChange: 'drain',
  hairpin: [],
});

const host = (forwards: readonly PlacedForward[]): HostDesired => ({
  egresses: [],
  announced: [],
  relayed: [],
  protected: [],
  forwards,
});

describe('isolate', () => {
  it('finds exactly the forwards that are refused, serves the others, and leaves the bad ones as they were', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.nat(39), { maxLength: 5 }),
        fc.uniqueArray(fc.nat(39), { maxLength: 5 }),
        async (poison, older) => {
          const refused = new Set(poison.map(uidOf));
          let standing: HostDesired | undefined;
          const wanted = host(Array.from({ length: 40 }, (_, n) => placed(n)));
          const result = await isolate({
            wanted,
            suspects: new Set(wanted.forwards.map((f) => f.uid)),
            before: new Map(older.map((n) => [uidOf(n), placed(n, 1)])),
            attempts: 1_000,
            attempt: async (tried) => {
              if (tried.forwards.some((f) => f.generation === 2 && refused.has(f.uid))) return new Error('refused');
              standing = tried;
              return undefined;
            },
          });
          expect(new Set(result?.bad.keys())).toEqual(refused);
          expect(result?.applied.forwards).toEqual(standing?.forwards);
          const expected = wanted.forwards.flatMap((f, n) =>
            refused.has(f.uid) ? (older.includes(n) ? [placed(n, 1)] : []) : [f],
          );
          expect(standing?.forwards).toEqual(expected);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('gives up where it is nobody in particular', async () => {
    let attempts = 0;
    const wanted = host([placed(1), placed(2)]);
    const result = await isolate({
      wanted,
      suspects: new Set([uidOf(1)]),
      before: new Map(),
      attempt: async () => {
        attempts++;
        return new Error('the disk is on fire');
      },
    });
    expect(result).toBeUndefined();
    expect(attempts).toBe(1);
  });

  it('tries no more often than it may', async () => {
    let attempts = 0;
    const wanted = host(Array.from({ length: 40 }, (_, n) => placed(n)));
    const result = await isolate({
      wanted,
      suspects: new Set(wanted.forwards.map((f) => f.uid)),
      before: new Map(),
      attempts: 10,
      attempt: async ({ forwards }) => {
        attempts++;
        return forwards.length > 0 ? new Error('refused') : undefined;
      },
    });
    expect(attempts).toBeLessThanOrEqual(12);
    expect(result?.applied.forwards).toEqual([]);
  });
});
