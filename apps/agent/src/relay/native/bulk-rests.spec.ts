import { beforeEach, describe, expect, it } from 'vitest';
import { BulkRests } from './bulk-rests.js';
import type { Rest } from './rests.js';
import { Half } from './tcp-half.js';

const MIB = 1024 * 1024;

/** A direction in a worker whose clock the test has. */
class Bench {
  readonly half = new Half();
  readonly loop = {
    now: 1000,
    setRest: (rest: Rest) => {
      this.resting = rest;
      rest.set = true;
    },
    clearRest: () => {
      this.resting = undefined;
    },
  };
  /** What the kernel was told to wait for. */
  mark = 1;
  resting: Rest | undefined;
  asked = 0;
  readonly #rests = new BulkRests({
    loop: this.loop,
    setOption: (fd, _level, _option, value) => {
      expect(fd).toBe(7);
      this.mark = value;
      return true;
    },
  });

  constructor() {
    this.half.reset(7, 8, false);
    // The first turn of a flow begins its measure.
    this.turn(1);
  }

  /** A turn after which nothing is left to read. */
  turn(moved: number, back = 0): void {
    this.half.bytes += moved;
    this.half.readable = false;
    this.#rests.turned(this.half, moved, back, { again: () => this.asked++ });
  }

  bulk(mib: number, ms: number): void {
    for (let i = 0; i < mib; i++) {
      this.loop.now += ms / mib;
      this.turn(MIB);
    }
  }

  /** The rest is over, and that much is found. */
  look(found: number): void {
    this.over();
    this.turn(found);
  }

  over(): void {
    const rest = this.resting;
    if (!rest) throw new Error('nobody rests');
    this.resting = undefined;
    rest.set = false;
    rest.over();
  }

  end(): void {
    this.#rests.ended(this.half);
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});

describe('BulkRests', () => {
  it('leaves requests and answers alone, whatever comes to in all', () => {
    for (let i = 0; i < 100; i++) {
      bench.bulk(7, 5);
      expect([bench.mark, bench.resting]).toEqual([1, undefined]);
      bench.turn(0, 200);
    }
  });

  it('lets bulk rest, looks when the rest is over, and goes on resting while there is something each time', () => {
    bench.bulk(9, 20);
    expect(bench.mark).toBe(MIB);
    for (let i = 0; i < 3; i++) {
      bench.over();
      expect([bench.half.readable, bench.asked]).toEqual([true, i + 1]);
      bench.turn(100_000);
    }
    expect([bench.mark, bench.resting?.set]).toEqual([MIB, true]);
  });

  it.each([
    ['a look that finds nothing', (b: Bench) => b.look(0)],
    ['an answer', (b: Bench) => b.turn(MIB, 1)],
    ['a slower stream', (b: Bench) => b.bulk(9, 2000)],
    ['next to nothing for long', (b: Bench) => b.bulk(1, 251)],
  ])('has the kernel report everything again after %s', (_, what) => {
    bench.bulk(9, 20);
    expect(bench.mark).toBe(MIB);
    what(bench);
    const { asked } = bench;
    expect(bench.mark).toBe(1);
    // A rest that had begun is of no consequence any more.
    if (bench.resting) bench.over();
    expect(bench.asked).toBe(asked);
    bench.bulk(9, 20);
    expect(bench.mark).toBe(MIB);
  });

  it('does not let a slow stream rest', () => {
    bench.bulk(100, 100 * 40);
    expect([bench.mark, bench.resting]).toEqual([1, undefined]);
  });

  it('does not put off the end of a rest for a turn in which nothing moves', () => {
    bench.bulk(9, 20);
    const { resting } = bench;
    bench.resting = undefined;
    bench.turn(0);
    expect(bench.resting).toBeUndefined();
    expect(resting?.set).toBe(true);
  });

  it.each([
    ['has not ended', (h: Half) => (h.ended = true)],
    ['waits for nobody to read', (h: Half) => (h.piped = 5)],
    ['waits for nobody to read', (h: Half) => (h.left = new Uint8Array(3))],
  ])('lets only what %s rest', (_, is) => {
    bench.bulk(9, 20);
    bench.over();
    is(bench.half);
    bench.turn(10);
    expect(bench.resting).toBeUndefined();
  });

  it('forgets a rest when the flow ends', () => {
    bench.bulk(9, 20);
    bench.end();
    expect(bench.resting).toBeUndefined();
  });
});
