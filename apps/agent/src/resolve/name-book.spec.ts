import { parseIp } from '@gwctl/shared/domain/ip';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../testing/fake-clock.js';
import { FakeDns } from './dns-client.fake.js';
import { type HostNaming, parseHosts } from './host-naming.js';
import { NameBook, type NamingSettings } from './name-book.js';
import type { RememberedNames } from './remembered.js';

const DNS = '10.0.0.2:53';
const SETTINGS: NamingSettings = { resolvers: [DNS], dnsMinTtl: 5, dnsMaxTtl: 300 };
const DB = 'db.example.com';

function makeBook(options: { remembered?: RememberedNames; random?: () => number } = {}) {
  const clock = new FakeClock();
  const client = new FakeDns();
  const host = { naming: { servers: ['192.0.2.53:53'], names: new Map() } as HostNaming, read: () => host.naming };
  const book = new NameBook({ clock, random: options.random ?? (() => 0), client, host, ...options });
  let changes = 0;
  book.onChange(() => changes++);
  book.start();
  const want = (names: readonly string[], settings = SETTINGS) => {
    book.want(new Set(names), settings);
    return settle();
  };
  const seen = (name = DB) => book.view().get(name);
  const addresses = (name = DB) => seen(name)?.addresses.map((a) => a.text);
  return { clock, client, host, book, want, seen, addresses, changes: () => changes };
}

describe('asking', () => {
  it('asks a new name at once, for both families, and gives what came sorted and each once', async () => {
    const { client, want, seen, addresses, clock } = makeBook();
    client.say(DB, { addresses: ['2001:DB8::1', '10.0.11.148', '10.0.11.147', '10.0.11.148'] });
    await want([DB]);
    expect(addresses()).toEqual(['10.0.11.147', '10.0.11.148', '2001:db8::1']);
    expect(seen()).toMatchObject({ fresh: true, answered: clock.now() });
    expect(seen()).not.toHaveProperty('trouble');
    expect(client.asked).toEqual([
      { name: DB, family: 4, servers: [DNS] },
      { name: DB, family: 6, servers: [DNS] },
    ]);
  });

  it('shows a name that was never answered as one without addresses and without trouble', async () => {
    const { client, want, seen } = makeBook();
    client.say(DB, 'silence');
    await want([DB]);
    expect(seen()).toEqual({ addresses: [], fresh: false });
  });

  it.each([
    { ttl: 0, next: 5 },
    { ttl: 60, next: 60 },
    { ttl: 86_400, next: 300 },
  ])('asks again after a TTL of $ttl s in $next s', async ({ ttl, next }) => {
    const { client, clock, want } = makeBook();
    client.say(DB, { addresses: ['10.0.0.1'], ttl });
    await want([DB]);
    await clock.advance(next * 1000 - 1);
    expect(client.times(DB)).toBe(1);
    await clock.advance(1);
    expect(client.times(DB)).toBe(2);
  });

  it('stretches a TTL by at most a twentieth', async () => {
    const { client, clock, want } = makeBook({ random: () => 0.999 });
    client.say(DB, { addresses: ['10.0.0.1'], ttl: 100 });
    await want([DB]);
    await clock.advance(104_000);
    expect(client.times(DB)).toBe(1);
    await clock.advance(1000);
    expect(client.times(DB)).toBe(2);
  });

  it('forgets what is no longer wanted, also what was being asked', async () => {
    const { client, clock, book, want } = makeBook();
    client.say('slow.example', 'silence');
    client.say(DB, { addresses: ['10.0.0.1'] });
    await want([DB, 'slow.example']);
    await want([]);
    client.release();
    await clock.advance(1_000_000);
    expect(book.view().size).toBe(0);
    expect(client.times(DB)).toBe(1);
  });

  it('asks nothing before start and nothing after stop', async () => {
    const clock = new FakeClock();
    const client = new FakeDns();
    const book = new NameBook({ clock, random: () => 0, client, host: { read: () => ({ servers: [], names: new Map() }) } });
    book.want(new Set([DB]), SETTINGS);
    await settle();
    expect(client.asked).toHaveLength(0);
    book.start();
    await settle();
    expect(client.times(DB)).toBe(1);
    book.stop();
    expect(client.closed).toBe(true);
    await clock.advance(1_000_000);
    expect(client.times(DB)).toBe(1);
    expect(clock.next).toBeUndefined();
  });
});

describe('what is seen', () => {
  it('is the same map and the same objects while nothing changed', async () => {
    const { client, clock, book, want, seen, changes } = makeBook();
    client.say(DB, { addresses: ['10.0.0.1', '10.0.0.2'], ttl: 5 });
    client.say('other.example', { addresses: ['10.0.0.3'], ttl: 5 });
    await want([DB, 'other.example']);
    const [map, db, other] = [book.view(), seen(), seen('other.example')];
    const told = changes();
    client.say(DB, { addresses: ['10.0.0.2', '10.0.0.1'], ttl: 7 });
    await clock.advance(60_000);
    expect(book.view()).toBe(map);
    expect(changes()).toBe(told);
    client.say(DB, { addresses: ['10.0.0.2'], ttl: 5 });
    await clock.advance(7000);
    expect(changes()).toBe(told + 1);
    expect(book.view()).not.toBe(map);
    expect(seen()).not.toBe(db);
    expect(seen('other.example')).toBe(other);
  });

  it('tells of many changes once until somebody looks', async () => {
    const { client, clock, book, want, changes } = makeBook();
    const names = Array.from({ length: 10 }, (_, i) => `n${i}.example`);
    for (const name of names) client.say(name, { addresses: ['10.0.0.1'] });
    await want(names);
    expect(changes()).toBe(1);
    book.view();
    for (const name of names) client.say(name, { addresses: ['10.0.0.2'] });
    await clock.advance(60_000);
    expect(changes()).toBe(2);
  });

  it('follows a fail-over within the TTL', async () => {
    const { client, clock, want, addresses, seen } = makeBook();
    client.say(DB, { addresses: ['10.0.11.147'], ttl: 5 });
    await want([DB]);
    await clock.advance(600_000);
    client.say(DB, { addresses: ['10.0.11.148'], ttl: 5 });
    await clock.advance(5000);
    expect(addresses()).toEqual(['10.0.11.148']);
    expect(seen()?.trouble).toBeUndefined();
  });

  it('takes 64 addresses of a family and says so', async () => {
    const { client, want, seen } = makeBook();
    client.say(DB, { addresses: [...Array.from({ length: 70 }, (_, i) => `10.0.0.${i}`), '2001:db8::1'] });
    await want([DB]);
    expect(seen()?.addresses).toHaveLength(65);
    expect(seen()).toMatchObject({ fresh: true, trouble: '70 IPv4 addresses, of which the first 64 are used' });
  });

  it('leaves out what is no address to us and keeps the rest', async () => {
    const { client, want, addresses, seen } = makeBook();
    client.say(DB, { addresses: ['::ffff:10.0.0.1', '10.0.0.1'] });
    await want([DB]);
    expect(addresses()).toEqual(['10.0.0.1']);
    expect(seen()?.trouble).toContain('IPv4 address mapped into IPv6');
  });
});

describe('failure', () => {
  it.each([
    { said: 'NXDOMAIN' as const, trouble: `NXDOMAIN from ${DNS}` },
    { said: 'NODATA' as const, trouble: `no addresses (NODATA) from ${DNS}` },
    { said: { failed: 'SERVFAIL' }, trouble: `SERVFAIL from ${DNS}` },
  ])('keeps the last good answer for good after $said', async ({ said, trouble }) => {
    const { client, clock, want, addresses, seen } = makeBook();
    client.say(DB, { addresses: ['10.0.11.147'], ttl: 30 });
    await want([DB]);
    await clock.advance(30_000);
    const answered = clock.now();
    client.say(DB, said);
    await clock.advance((7 * 86_400_000) / 100);
    expect(addresses()).toEqual(['10.0.11.147']);
    expect(seen()).toMatchObject({ fresh: false, answered, trouble });
    client.say(DB, { addresses: ['10.0.11.148'] });
    await clock.advance(60_000);
    expect(addresses()).toEqual(['10.0.11.148']);
    expect(seen()).not.toHaveProperty('trouble');
  });

  it('says what is wrong with a name that was never answered', async () => {
    const { client, want, seen } = makeBook();
    client.say(DB, 'NXDOMAIN');
    await want([DB]);
    expect(seen()).toEqual({ addresses: [], fresh: false, trouble: `NXDOMAIN from ${DNS}` });
  });

  it('makes no new objects while it goes on', async () => {
    const { client, clock, book, want, changes } = makeBook();
    client.say(DB, 'NXDOMAIN');
    await want([DB]);
    const map = book.view();
    await clock.advance(600_000);
    expect(book.view()).toBe(map);
    expect(changes()).toBe(1);
  });

  it('asks again with full jitter, from the floor to a minute', async () => {
    const { client, clock, want } = makeBook({ random: () => 0.9999999 });
    client.say(DB, { failed: 'SERVFAIL' });
    await want([DB]);
    const gaps: number[] = [];
    for (let i = 0; i < 7; i++) {
      const before = clock.monotonic();
      const times = client.times(DB);
      while (client.times(DB) === times) await clock.advance(clock.next ?? 0);
      gaps.push(Math.round((clock.monotonic() - before) / 1000));
    }
    expect(gaps).toEqual([5, 10, 20, 40, 60, 60, 60]);
  });

  it('is not one when only one family has addresses, or when servers fail a family that never had any', async () => {
    const { client, want, seen, addresses } = makeBook();
    client.say(DB, { addresses: ['10.0.0.1'] });
    client.sayFamily(DB, 6, { kind: 'failed', why: `SERVFAIL from ${DNS}` });
    await want([DB]);
    expect(addresses()).toEqual(['10.0.0.1']);
    expect(seen()).toMatchObject({ fresh: true });
    expect(seen()).not.toHaveProperty('trouble');
  });

  it('of one family keeps what was known of it and follows the other', async () => {
    const { client, clock, want, seen, addresses } = makeBook();
    client.say(DB, { addresses: ['10.0.0.1', '2001:db8::1'], ttl: 10 });
    await want([DB]);
    client.say(DB, { addresses: ['10.0.0.2'], ttl: 10 });
    client.sayFamily(DB, 6, { kind: 'failed', why: `no answer from ${DNS}` });
    await clock.advance(20_000);
    expect(addresses()).toEqual(['10.0.0.2', '2001:db8::1']);
    expect(seen()).toMatchObject({ fresh: false, trouble: `no answer from ${DNS} for IPv6` });
    client.sayFamily(DB, 6, undefined);
    await clock.advance(10_000);
    expect(addresses()).toEqual(['10.0.0.2']);
  });

  it('of some names does not hold up others', async () => {
    const { client, clock, want, addresses, seen } = makeBook();
    const slow = Array.from({ length: 1000 }, (_, i) => `slow${i}.example`);
    for (const name of slow) client.say(name, 'silence');
    client.say(DB, { addresses: ['10.0.0.1'], ttl: 5 });
    await want([...slow, DB]);
    // The first time nobody knows which are slow: 16 for each quarter of a second.
    await clock.advance(16_000);
    expect(addresses()).toEqual(['10.0.0.1']);
    client.release();
    await settle();
    expect(seen(slow[0])?.trouble).toBe(`no answer from ${DNS}`);
    // From now on those that fail keep to themselves, though they are asked for again and again, and the good one is followed in time.
    for (let i = 0; i < 30; i++) {
      await clock.advance(1000);
      client.release();
    }
    client.say(DB, { addresses: ['10.0.0.2'], ttl: 5 });
    await clock.advance(5300);
    expect(addresses()).toEqual(['10.0.0.2']);
  });

  it('never has more than so many questions under way, nor asks more than 400 names a second', async () => {
    const { client, clock, want, addresses } = makeBook();
    const names = Array.from({ length: 1000 }, (_, i) => `n${i}.example`);
    for (const name of names) client.say(name, { addresses: ['10.0.0.1'], ttl: 300 });
    await want(names);
    await clock.advance(1000);
    expect(client.asked.length / 2).toBeLessThanOrEqual(400 + 32);
    await clock.advance(2000);
    expect(names.filter((name) => addresses(name)?.length === 1)).toHaveLength(1000);
    expect(client.most).toBeLessThanOrEqual(32);
  });
});

describe('who is asked', () => {
  it('changes with the settings, at once and without losing what is known', async () => {
    const { client, want, seen } = makeBook();
    client.say(DB, { addresses: ['10.0.0.1'], ttl: 300 });
    await want([DB]);
    const before = seen();
    await want([DB], { ...SETTINGS, resolvers: ['10.0.0.3:53', '[2001:db8::53]:53'] });
    expect(client.asked.at(-1)?.servers).toEqual(['10.0.0.3:53', '[2001:db8::53]:53']);
    expect(seen()).toBe(before);
  });

  it('answers of servers that are no longer asked count for nothing', async () => {
    const { client, want, seen, addresses } = makeBook();
    client.say(DB, 'silence');
    await want([DB]);
    client.say(DB, { addresses: ['10.0.0.1'] });
    await want([DB], { ...SETTINGS, resolvers: ['10.0.0.3:53'] });
    client.release();
    await settle();
    expect(addresses()).toEqual(['10.0.0.1']);
    expect(seen()).toMatchObject({ fresh: true });
  });

  it('is what the host asks where no resolvers are set, with its hosts file first, and follows both', async () => {
    const { client, clock, host, want, addresses, seen } = makeBook();
    client.say(DB, 'NXDOMAIN');
    await want([DB], { ...SETTINGS, resolvers: [] });
    expect(seen()?.trouble).toBe('NXDOMAIN from 192.0.2.53:53');
    host.naming = { servers: ['192.0.2.54:53'], names: parseHosts('10.9.9.9 DB.example.com db') };
    await clock.advance(5000);
    expect(addresses()).toEqual(['10.9.9.9']);
    expect(seen()).toMatchObject({ fresh: true });
    host.naming = { servers: ['192.0.2.54:53'], names: new Map() };
    client.say(DB, { addresses: ['10.0.0.1'] });
    await clock.advance(5000);
    expect(addresses()).toEqual(['10.0.0.1']);
    expect(client.asked.at(-1)?.servers).toEqual(['192.0.2.54:53']);
  });

  it('is not the hosts file where resolvers are set', async () => {
    const { client, host, want, addresses } = makeBook();
    host.naming = { servers: ['192.0.2.54:53'], names: parseHosts(`10.9.9.9 ${DB}`) };
    client.say(DB, { addresses: ['10.0.0.1'] });
    await want([DB]);
    expect(addresses()).toEqual(['10.0.0.1']);
  });
});

describe('a restart', () => {
  const address = parseIp('10.0.11.147');
  if (!address.ok) throw new Error('unreachable');
  const remembered: RememberedNames = new Map([[DB, { addresses: [address.value], answered: 1_700_000_000_000 }]]);

  it('while no server answers changes nothing', async () => {
    const { client, clock, want, seen, addresses } = makeBook({ remembered });
    client.say(DB, 'silence');
    await want([DB]);
    expect(seen()).toEqual({ addresses: [address.value], fresh: false, answered: 1_700_000_000_000 });
    client.say(DB, { failed: 'SERVFAIL' });
    client.release();
    await clock.advance(60_000);
    expect(addresses()).toEqual(['10.0.11.147']);
    expect(seen()).toMatchObject({ fresh: false, answered: 1_700_000_000_000, trouble: `SERVFAIL from ${DNS}` });
  });

  it('is over with the first answer', async () => {
    const { client, want, seen, addresses } = makeBook({ remembered });
    client.say(DB, { addresses: ['10.0.11.148'] });
    await want([DB]);
    expect(addresses()).toEqual(['10.0.11.148']);
    expect(seen()).toMatchObject({ fresh: true });
  });
});

describe('an answer that changes often', () => {
  it('is followed every 30 s, says so, and is followed at once again when it calmed down', async () => {
    const { client, clock, want, addresses, seen } = makeBook();
    const at = (i: number) => client.say(DB, { addresses: [`10.0.0.${i % 2}`], ttl: 5 });
    at(0);
    await want([DB]);
    let followed = 0;
    for (let i = 1, last = addresses()?.[0]; i <= 60; i++) {
      at(i);
      await clock.advance(5000);
      if (addresses()?.[0] !== last) followed++;
      last = addresses()?.[0];
    }
    expect(followed).toBeLessThanOrEqual(4 + 300 / 30);
    expect(seen()).toMatchObject({ fresh: true, trouble: 'the answer changes often; followed every 30 s' });
    client.say(DB, { addresses: ['10.0.0.7'], ttl: 5 });
    await clock.advance(30_000);
    expect(addresses()).toEqual(['10.0.0.7']);
    await clock.advance(65_000);
    expect(seen()).not.toHaveProperty('trouble');
    client.say(DB, { addresses: ['10.0.0.8'], ttl: 5 });
    await clock.advance(5000);
    expect(addresses()).toEqual(['10.0.0.8']);
  });

  it('never shows what no server said, is never followed more than 7 times a minute, and ends at the last answer', async () => {
    const step = fc.record({
      said: fc.oneof(
        { weight: 8, arbitrary: fc.subarray(['10.0.0.1', '10.0.0.2', '2001:db8::1'], { minLength: 1 }) },
        { weight: 1, arbitrary: fc.constant('NXDOMAIN' as const) },
        { weight: 1, arbitrary: fc.constant({ failed: 'SERVFAIL' }) },
      ),
      ttl: fc.constantFrom(0, 5, 12, 30),
      wait: fc.integer({ min: 1, max: 20 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        const { client, clock, want, addresses } = makeBook();
        const good = new Set<string>(['']);
        const changed: number[] = [];
        let last = '';
        await want([DB]);
        for (const { said, ttl, wait } of [...steps, { said: ['10.0.0.9'], ttl: 5, wait: 200 }]) {
          if (Array.isArray(said)) good.add([...said].join());
          client.say(DB, Array.isArray(said) ? { addresses: said, ttl } : said);
          await clock.advance(wait * 1000);
          const now = addresses()?.join() ?? '';
          expect(good).toContain(now);
          if (now !== last) changed.push(clock.monotonic());
          last = now;
        }
        for (const at of changed) expect(changed.filter((c) => c >= at && c < at + 60_000).length).toBeLessThanOrEqual(7);
        expect(last).toBe('10.0.0.9');
      }),
      { numRuns: 60 },
    );
  });
});
