import { describe, expect, it } from 'vitest';
import { target } from '../testing.js';
import { addCounts, Tally } from './counts.js';
import { Targets } from './targets.js';

const A = target('10.0.0.1', 80);
const B = target('10.0.0.2', 80);

function counted(run: (tally: Tally, seen: Targets) => void) {
  const tally = new Tally();
  const seen = new Targets({ targets: [A, B], affinity: 'none' });
  run(tally, seen);
  return tally.counts('f1', [A, B], seen);
}

describe('Tally', () => {
  it('counts what is open for each target', () => {
    const counts = counted((tally, seen) => {
      for (const t of [A, A, B]) tally.opened(t);
      tally.closed(A);
      tally.closed(B);
      seen.failed(B, 0, 'refused');
      tally.bytes += 12;
      tally.failed += 1;
    });
    expect(counts).toMatchObject({ uid: 'f1', bytes: 12, failed: 1, flows: 0 });
    expect(counts.targets).toEqual([
      { address: '10.0.0.1', port: 80, open: 1, health: 'unknown' },
      { address: '10.0.0.2', port: 80, open: 0, health: 'unhealthy', trouble: 'refused' },
    ]);
  });
});

describe('addCounts', () => {
  it('adds what several threads counted', () => {
    const one = counted((tally, seen) => {
      tally.bytes = 5;
      tally.open = 1;
      tally.opened(A);
      seen.succeeded(A, 100);
      seen.succeeded(B, 300);
    });
    const two = counted((tally, seen) => {
      tally.bytes = 7;
      tally.open = 1;
      tally.opened(A);
      seen.failed(B, 0, 'refused');
    });
    const sum = addCounts([one, two]);
    expect(sum).toMatchObject({ bytes: 12, open: 2 });
    expect(sum?.targets).toEqual([
      { address: '10.0.0.1', port: 80, open: 2, health: 'healthy', rttUs: 100 },
      { address: '10.0.0.2', port: 80, open: 0, health: 'unhealthy', trouble: 'refused', rttUs: 300 },
    ]);
    expect(addCounts([])).toBeUndefined();
  });
});
