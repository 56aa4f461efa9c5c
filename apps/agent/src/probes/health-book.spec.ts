import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../testing/fake-clock.js';
import { ip } from '../testing/placed.js';
import { HealthBook } from './health-book.js';
import { FakeProber } from './prober.fake.js';

const WEB = '10.0.0.1 80';
const OTHER = '10.0.0.2 80';

function makeBook() {
  const clock = new FakeClock();
  const prober = new FakeProber(clock);
  const book = new HealthBook({ clock, random: () => 0.999, prober });
  let changes = 0;
  book.onChange(() => changes++);
  book.start();
  const target = (text: string, urgent: boolean) => {
    const [address = '', port] = text.split(' ');
    return { address: ip(address), port: Number(port), urgent };
  };
  const want = (urgent: readonly string[], calm: readonly string[] = []) => {
    book.want([...urgent.map((t) => target(t, true)), ...calm.map((t) => target(t, false))]);
    return settle();
  };
  const seen = (text = WEB) => {
    const { address, port } = target(text, false);
    return book.view(address, port);
  };
  /** Milliseconds until the state is this one. */
  const until = async (state: string, most = 120_000) => {
    const began = clock.monotonic();
    while (seen()?.state !== state && clock.monotonic() - began < most) await clock.advance(100);
    return clock.monotonic() - began;
  };
  return { clock, prober, book, want, seen, until, changes: () => changes };
}

describe('a target', () => {
  it('is unknown, is probed at once, and is healthy after one success', async () => {
    const { clock, prober, want, seen, changes } = makeBook();
    prober.up(WEB, 420);
    await want([WEB]);
    expect(seen()).toEqual({ state: 'unknown' });
    expect(prober.times(WEB)).toBe(1);
    await clock.advance(1);
    expect(seen()).toEqual({ state: 'healthy', rttUs: 420 });
    expect(changes()).toBe(1);
    expect(seen(OTHER)).toBeUndefined();
  });

  it('that refuses is unhealthy within 7 s, and healthy within 6 s of answering again', async () => {
    const { clock, prober, want, seen, until, changes } = makeBook();
    await want([WEB]);
    await clock.advance(1000);
    prober.refuse(WEB);
    expect(await until('unhealthy')).toBeLessThanOrEqual(7000);
    expect(seen()).toEqual({ state: 'unhealthy', rttUs: 1000, trouble: 'refused by the target' });
    prober.up(WEB);
    expect(await until('healthy')).toBeLessThanOrEqual(6100);
    expect(seen()).toEqual({ state: 'healthy', rttUs: 1000 });
    expect(changes()).toBe(3);
  });

  it('that says nothing is unhealthy within 12 s', async () => {
    const { clock, prober, want, until } = makeBook();
    await want([WEB]);
    await clock.advance(5100);
    prober.silence(WEB);
    expect(await until('unhealthy')).toBeLessThanOrEqual(12_000);
  });

  it('stays healthy over two failures in a row, however often', async () => {
    const { clock, prober, want, seen, changes } = makeBook();
    await want([WEB]);
    await clock.advance(1000);
    for (let i = 0; i < 3; i++) {
      prober.refuse(WEB);
      const before = prober.times(WEB);
      while (prober.times(WEB) < before + 2) await clock.advance(10);
      await clock.advance(1);
      prober.up(WEB);
      await clock.advance(10_000);
    }
    expect(seen()?.state).toBe('healthy');
    expect(changes()).toBe(1);
  });

  it('takes three failures to be unhealthy from the start, too', async () => {
    const { prober, want, seen, until } = makeBook();
    prober.refuse(WEB);
    await want([WEB]);
    expect(await until('unhealthy')).toBeLessThanOrEqual(2100);
    expect(seen()).toEqual({ state: 'unhealthy', trouble: 'refused by the target' });
  });

  it('is not blamed for what the gateway lacks', async () => {
    const { clock, prober, want, seen, changes } = makeBook();
    await want([WEB]);
    await clock.advance(1000);
    prober.say(WEB, { kind: 'unable', why: 'too many open files in the agent (EMFILE)' });
    await clock.advance(120_000);
    const trouble = 'cannot be probed: too many open files in the agent (EMFILE)';
    expect(seen()).toEqual({ state: 'healthy', rttUs: 1000, trouble });
    expect(changes()).toBe(2);
    prober.up(WEB);
    await clock.advance(5000);
    expect(seen()).toEqual({ state: 'healthy', rttUs: 1000 });
    expect(changes()).toBe(3);
  });

  it('keeps its object while its round-trip time stays within a factor of 1.5', async () => {
    const { clock, prober, want, seen, changes } = makeBook();
    prober.up(WEB, 1000);
    await want([WEB]);
    await clock.advance(1);
    const first = seen();
    for (const rtt of [1400, 700, 1500]) {
      prober.up(WEB, rtt);
      await clock.advance(5000);
      expect(seen()).toBe(first);
    }
    prober.up(WEB, 1600);
    await clock.advance(5000);
    expect(seen()).toEqual({ state: 'healthy', rttUs: 1600 });
    expect(changes()).toBe(1);
  });

  it('that flaps must be up for 30 s', async () => {
    const { clock, prober, want, seen, until } = makeBook();
    await want([WEB]);
    await clock.advance(1);
    for (let i = 0; i < 2; i++) {
      prober.refuse(WEB);
      await until('unhealthy');
      prober.up(WEB);
      expect(await until('healthy')).toBeLessThanOrEqual(6100);
    }
    prober.refuse(WEB);
    await until('unhealthy');
    prober.up(WEB);
    const took = await until('healthy');
    expect(took).toBeGreaterThanOrEqual(30_000);
    expect(took).toBeLessThanOrEqual(40_000);
    // Forgiven: the next time is the first again.
    await clock.advance(60_000);
    prober.refuse(WEB);
    await until('unhealthy');
    prober.up(WEB);
    expect(await until('healthy')).toBeLessThanOrEqual(6100);
    expect(seen()).not.toHaveProperty('trouble');
  });

  it('that fails while it proves itself begins anew, and says what it waits for', async () => {
    const { clock, prober, want, seen, until } = makeBook();
    await want([WEB]);
    await clock.advance(1);
    for (let i = 0; i < 3; i++) {
      prober.refuse(WEB);
      await until('unhealthy');
      prober.up(WEB);
      if (i < 2) await until('healthy');
    }
    await clock.advance(20_000);
    expect(seen()).toMatchObject({ state: 'unhealthy', trouble: expect.stringContaining('healthy after 30 s') });
    prober.refuse(WEB);
    await clock.advance(6000);
    expect(seen()?.trouble).toBe('refused by the target');
    prober.up(WEB);
    expect(await until('healthy')).toBeGreaterThanOrEqual(30_000);
  });

  it('never changes more than 7 times a minute, however it behaves, and ends as what it is', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ up: fc.boolean(), wait: fc.integer({ min: 500, max: 15_000 }) }), { minLength: 5, maxLength: 40 }),
        fc.boolean(),
        async (steps, endsUp) => {
          const { clock, prober, book, want, seen } = makeBook();
          const at: number[] = [];
          let last = 'unknown';
          book.onChange(() => {
            const now = seen()?.state ?? '';
            if (now !== last) at.push(clock.monotonic());
            last = now;
          });
          await want([WEB]);
          for (const { up, wait } of [...steps, { up: endsUp, wait: 50_000 }]) {
            if (up) prober.up(WEB);
            else prober.refuse(WEB);
            await clock.advance(wait);
          }
          for (const t of at) expect(at.filter((c) => c >= t && c < t + 60_000).length).toBeLessThanOrEqual(7);
          expect(seen()?.state).toBe(endsUp ? 'healthy' : 'unhealthy');
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('the book', () => {
  it('probes once what several want, as often as the most urgent needs', async () => {
    const { clock, prober, want } = makeBook();
    await want([WEB, WEB], [WEB]);
    await clock.advance(50_500);
    expect(prober.times(WEB)).toBe(11);
  });

  it('forgets who is no longer wanted, also in the middle of a probe', async () => {
    const { clock, prober, want, seen, changes } = makeBook();
    await want([WEB]);
    await want([]);
    await clock.advance(60_000);
    expect(seen()).toBeUndefined();
    expect(prober.times(WEB)).toBe(1);
    expect(changes()).toBe(0);
    expect(clock.next).toBeUndefined();
  });

  it('keeps what it knows of who stays', async () => {
    const { clock, want, seen } = makeBook();
    await want([WEB]);
    await clock.advance(1);
    const known = seen();
    await want([WEB, OTHER]);
    expect(seen()).toBe(known);
  });

  it('probes at once who becomes one of several', async () => {
    const { clock, prober, want } = makeBook();
    await want([], [WEB]);
    await clock.advance(10_000);
    expect(prober.times(WEB)).toBe(1);
    await want([WEB, OTHER]);
    expect(prober.times(WEB)).toBe(2);
    await clock.advance(5001);
    expect(prober.times(WEB)).toBe(3);
    await want([], [WEB]);
    await clock.advance(30_000);
    expect(prober.times(WEB)).toBe(4);
  });

  it('probes nobody before start or after stop', async () => {
    const { clock, prober, book, want, seen } = makeBook();
    book.stop();
    await want([WEB]);
    await clock.advance(10_000);
    expect(prober.probed).toHaveLength(0);
    book.start();
    await clock.advance(1);
    expect(seen()?.state).toBe('healthy');
    book.stop();
    await clock.advance(60_000);
    expect(prober.probed).toHaveLength(1);
    expect(clock.next).toBeUndefined();
  });

  it('spends 10 probes a second on only targets, and comes to a new one at once', async () => {
    const { clock, prober, want } = makeBook();
    const many = Array.from({ length: 1000 }, (_, i) => `10.1.${i >> 8}.${i & 255} 80`);
    await want([], many);
    await clock.advance(20_000);
    expect(prober.probed.length).toBeGreaterThanOrEqual(200);
    expect(prober.probed.length).toBeLessThanOrEqual(211);
    await want([], [...many, WEB]);
    await clock.advance(501);
    expect(prober.times(WEB)).toBe(1);
    await clock.advance(100_000);
    expect(new Set(prober.probed.map((p) => p.target)).size).toBe(1001);
    for (let at = 20_000; at < 110_000; at += 1000)
      expect(prober.probed.filter((p) => p.at >= at && p.at < at + 1000).length).toBeLessThanOrEqual(15);
  });

  it('probes no only target more often than every 30 s while it is well', async () => {
    const { clock, prober, want } = makeBook();
    await want([], [WEB]);
    await clock.advance(120_000);
    const at = prober.probed.map((p) => p.at);
    expect(at.length).toBeGreaterThanOrEqual(4);
    for (const [i, t] of at.entries()) if (i > 0) expect(t - (at[i - 1] ?? 0)).toBeGreaterThanOrEqual(30_000);
  });

  it('has at most 64 probes under way, and dead targets do not hold up live ones', async () => {
    const { clock, prober, want } = makeBook();
    const dead = Array.from({ length: 300 }, (_, i) => `10.2.${i >> 8}.${i & 255} 80`);
    for (const target of dead) prober.silence(target);
    await want([...dead, WEB]);
    await clock.advance(60_000);
    expect(prober.most).toBeLessThanOrEqual(64);
    const before = prober.times(WEB);
    await clock.advance(50_000);
    expect(prober.times(WEB) - before).toBeGreaterThanOrEqual(9);
  });
});
