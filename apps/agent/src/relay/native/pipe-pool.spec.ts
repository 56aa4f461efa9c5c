import { readdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { F_SETPIPE_SZ } from '../../system/native/constants.js';
import { loadRelayLibc, type RelayLibc } from '../../system/native/relay-libc.js';
import { LARGE, type Pipe, PipePool } from './pipe-pool.js';

const real = loadRelayLibc();
const descriptors = () => readdirSync('/proc/self/fd').length;
const before = descriptors();
/** As many as `most` at a time. */
const room = (most: number) => {
  let used = 0;
  return {
    take(count: number) {
      if (used + count > most) return false;
      used += count;
      return true;
    },
    give(count: number) {
      used -= count;
    },
    exhausted: () => undefined,
    used: () => used,
  };
};
let now = 0;
const clock = () => now;
const take = (pool: PipePool): Pipe => {
  const pipe = pool.take();
  if (!pipe) throw new Error('no pipe');
  return pipe;
};

afterEach(() => expect(descriptors()).toBe(before));

describe('PipePool', () => {
  it('gives the same pipe again, and closes one in which something was left', () => {
    const pool = new PipePool(real, room(100), clock);
    const pipe = take(pool);
    expect(pipe.size).toBe(LARGE);
    pool.give(pipe, true);
    expect(take(pool)).toBe(pipe);
    real.write(pipe.write, Uint8Array.of(1), 1);
    pool.give(pipe, false);
    expect(pool.count).toBe(0);
    const other = take(pool);
    expect(real.read(other.read, new Uint8Array(1), 1)).toBe(-1);
    pool.give(other, true);
    pool.drain();
  });

  it('has few large ones, and keeps few that nobody uses', () => {
    const used = room(1000);
    const pool = new PipePool(real, used, clock);
    const pipes = Array.from({ length: 100 }, () => take(pool));
    expect(pipes.filter((p) => p.size === LARGE)).toHaveLength(16);
    for (const pipe of pipes.toReversed()) pool.give(pipe, true);
    expect(pool.count).toBe(32);
    expect(used.used()).toBe(64);
    // When the rush is over the large ones are used again, whoever came back last.
    for (let i = 0; i < 3; i++) {
      const pipe = take(pool);
      expect(pipe.size).toBe(LARGE);
      pool.give(pipe, true);
    }
    pool.drain();
    expect(used.used()).toBe(0);
  });

  it('gives none where there is no room, and does not ask again at once', () => {
    let asked = 0;
    const none = () => {
      asked += 1;
      return false;
    };
    const counting = { ...room(0), take: none };
    const pool = new PipePool(real, counting, clock);
    expect([pool.take(), pool.take(), pool.take()]).toEqual([undefined, undefined, undefined]);
    expect(asked).toBe(1);
    now += 1001;
    expect(pool.take()).toBeUndefined();
    expect(asked).toBe(2);
  });

  it('takes pipes of the usual size where the kernel grants no larger ones, and none of a page', () => {
    const strict = (size: number): RelayLibc => ({
      ...real,
      fcntl: (fd, command, argument) =>
        command === F_SETPIPE_SZ && argument === LARGE ? real.fcntl(fd, command, size) && -1 : real.fcntl(fd, command, argument),
    });
    const pool = new PipePool(strict(65_536), room(100), clock);
    const pipe = take(pool);
    expect(pipe.size).toBe(65_536);
    pool.give(pipe, true);
    expect(pool.count).toBe(1);
    pool.drain();
    expect(new PipePool(strict(4096), room(100), clock).take()).toBeUndefined();
  });
});
