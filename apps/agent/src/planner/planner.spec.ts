import type { AllowSource } from '@gwctl/shared/domain/forward';
import { type TrafficWords, traffic } from '@gwctl/shared/testing/traffic';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { uidOf } from '../testing/forwards.js';
import { EVERYTHING, FACTS } from '../testing/gateway.js';
import { ip } from '../testing/placed.js';
import { keyOf, NO_LIMITS } from '../testing/plan-forwards.js';
import { type PlanInput, Planner } from './planner.js';
import type { Health, Planned, ReadEntry, Resolution } from './types.js';

interface Words extends Pick<TrafficWords, 'affinity' | 'helper' | 'enabled' | 'expires'> {
  readonly address?: string;
  readonly protocol?: 'tcp' | 'udp' | 'tcp+udp' | 'all';
  readonly ports?: readonly [number, number];
  readonly announce?: boolean;
  readonly targets?: readonly { host: string; port: number; weight?: number }[];
  readonly allow?: readonly string[];
}

/** By default tcp 198.51.100.1:443 to the same port of 10.0.0.10. */
function forward(n: number, words: Words = {}): ReadEntry {
  const { address = '198.51.100.1', protocol = 'tcp', ports = [443, 443], announce = false } = words;
  const { targets = [{ host: '10.0.0.10', port: 0 }], allow = [], affinity = 'none', helper = 'auto', enabled = true } = words;
  const spec = traffic({
    listen: { address, protocol, announce, ...(protocol === 'all' ? {} : { ports: { first: ports[0], last: ports[1] } }) },
    targets: targets.map((t) => ({ weight: 1, ...t })),
    allowSources: allow,
    affinity,
    helper,
    enabled,
    expires: words.expires,
  });
  return { kind: 'forward', uid: uidOf(n), forward: { uid: uidOf(n), generation: 1, name: `f${n}`, spec } };
}

const answer = (...addresses: string[]): Resolution => ({ addresses: addresses.map(ip), fresh: true, answered: 0 });

function input(entries: readonly ReadEntry[], more: Partial<PlanInput> = {}): PlanInput {
  return {
    entries: [...entries].sort((a, b) => (a.uid < b.uid ? -1 : 1)),
    facts: FACTS,
    policy: NO_LIMITS,
    names: new Map(),
    health: { version: 0, of: () => undefined },
    now: 1000,
    ...more,
  };
}

const make = () => new Planner({ capabilities: { kernel: EVERYTHING }, keyOf });
const only = (entry: ReadEntry, more: Partial<PlanInput> = {}) =>
  make()
    .plan(input([entry], more))
    .judgements.get(entry.uid)?.verdict;
/** With its lists as arrays, however they are put together. */
const plain = (planned: Planned) => ({
  ...planned,
  judgements: [...planned.judgements],
  host: { ...planned.host, forwards: [...planned.host.forwards], relayed: [...planned.host.relayed] },
});
const placed = (entry: ReadEntry, more: Partial<PlanInput> = {}) => {
  const verdict = only(entry, more);
  if (verdict?.kind !== 'place') throw new Error(JSON.stringify(verdict));
  return verdict;
};

describe('names', () => {
  const entry = forward(1, { targets: [{ host: 'db.example.net', port: 3306 }] });
  const named = (resolution: Resolution) => ({ names: new Map([['db.example.net', resolution]]) });

  it('become all their addresses of the family', () => {
    const { forward: f, remarks } = placed(entry, named(answer('10.0.0.10', '10.0.0.11', '2001:db8::9')));
    expect(f.targets.map((t) => `${t.address.text}:${t.port}`)).toEqual(['10.0.0.10:3306', '10.0.0.11:3306']);
    expect(remarks).toEqual([]);
  });

  it('that never resolved carry nothing, and say so', () => {
    expect(only(entry)).toMatchObject({ kind: 'wait', remarks: [{ reason: 'DNS_UNRESOLVED' }] });
  });

  it('that no longer resolve keep the last good answer, and say so', () => {
    const stale = { ...answer('10.0.0.10'), fresh: false, trouble: 'SERVFAIL from 10.0.0.2:53' };
    const { forward: f, remarks } = placed(entry, named(stale));
    expect(f.targets).toHaveLength(1);
    expect(remarks).toMatchObject([{ reason: 'DNS_STALE', message: expect.stringContaining('SERVFAIL') }]);
  });

  it.each([
    ['loopback', '127.0.0.1'],
    ['the metadata service', '169.254.169.254'],
    ['the gateway itself', '10.0.0.1'],
  ])('that lead to %s are not followed there', (_, address) => {
    const { forward: f, remarks } = placed(entry, named(answer(address, '10.0.0.10')));
    expect(f.targets.map((t) => t.address.text)).toEqual(['10.0.0.10']);
    expect(remarks).toMatchObject([{ reason: 'TARGET_FORBIDDEN' }]);
  });

  it('are bound by the policy of the gateway', () => {
    const policy = { ...NO_LIMITS, permits: (a: { text: string }) => a.text !== '10.0.0.11' };
    const { forward: f } = placed(entry, { ...named(answer('10.0.0.10', '10.0.0.11')), policy });
    expect(f.targets.map((t) => t.address.text)).toEqual(['10.0.0.10']);
  });

  it('as sources let in what they resolved to, and nobody before they did', () => {
    const guarded = forward(1, { allow: ['home.example.net'] });
    expect(placed(guarded).forward.allow).toEqual([]);
    expect(placed(guarded, { names: new Map([['home.example.net', answer('192.0.2.9')]]) }).forward.allow).toMatchObject([
      { network: '192.0.2.9', prefix: 32 },
    ] satisfies Partial<(AllowSource & { kind: 'cidr' })['cidr']>[]);
    expect(placed(forward(1)).forward.allow).toBeUndefined();
  });
});

describe('health', () => {
  const pool = forward(1, {
    targets: [
      { host: '10.0.0.31', port: 80 },
      { host: '10.0.0.32', port: 80 },
    ],
  });
  const down = (...addresses: string[]) => ({
    health: {
      version: 1,
      of: (a: { text: string }): Health => ({ state: addresses.includes(a.text) ? 'unhealthy' : 'healthy' }),
    },
  });

  it('keeps who is down out of rotation, and shows it', () => {
    const { forward: f, targets, remarks } = placed(pool, down('10.0.0.31'));
    expect(f.targets.map((t) => t.address.text)).toEqual(['10.0.0.32']);
    expect(targets.map((t) => t.health?.state)).toEqual(['unhealthy', 'healthy']);
    expect(remarks).toMatchObject([{ reason: 'TARGET_UNHEALTHY' }]);
  });

  it('keeps all where all are down', () => {
    const { forward: f, remarks } = placed(pool, down('10.0.0.31', '10.0.0.32'));
    expect(f.targets).toHaveLength(2);
    expect(remarks).toMatchObject([{ reason: 'ALL_TARGETS_UNHEALTHY' }]);
  });

  it('is not asked of ranges, UDP and whole addresses', () => {
    const asked = (words: Words) => placed(forward(1, words), down('10.0.0.10')).remarks.length > 0;
    expect([asked({}), asked({ ports: [1, 9] }), asked({ protocol: 'udp' })]).toEqual([true, false, false]);
    expect(asked({ address: '198.51.100.9', protocol: 'all' })).toBe(false);
  });
});

describe('an announced address', () => {
  const entry = forward(1, { address: '198.51.100.9', protocol: 'all', announce: true });

  it('is announced where its neighbours are', () => {
    expect(make().plan(input([entry])).host.announced).toMatchObject([{ interface: 'wan', forwards: ['00000001'] }]);
  });

  it('is none of the gateway once it is there for that', () => {
    const facts = {
      ...FACTS,
      addresses: [...FACTS.addresses, { address: ip('198.51.100.9'), prefix: 32, interface: 'wan', announced: true }],
    };
    expect(make().plan(input([entry], { facts })).host.announced).toHaveLength(1);
    expect(only(entry, { facts })?.kind).toBe('place');
  });

  it('needs a network whose hosts would ask for it', () => {
    const nowhere = forward(1, { address: '203.0.113.9', protocol: 'all', announce: true });
    expect(only(nowhere)).toMatchObject({ kind: 'reject', reason: 'ANNOUNCE_NO_NETWORK' });
  });
});

describe('FTP', () => {
  const ftp = (words: Words) => placed(forward(1, words)).forward.ftp;
  it('is followed where it is spoken', () => {
    expect(ftp({})).toBeUndefined();
    expect(ftp({ ports: [2121, 2121], targets: [{ host: '10.0.0.10', port: 21 }] })).toEqual({ first: 2121, last: 2121 });
    expect(ftp({ ports: [2100, 2110], targets: [{ host: '10.0.0.10', port: 20 }] })).toEqual({ first: 2101, last: 2101 });
    expect(ftp({ address: '198.51.100.9', protocol: 'all' })).toEqual({ first: 21, last: 21 });
    expect(ftp({ helper: 'none', ports: [21, 21] })).toBeUndefined();
    expect(ftp({ helper: 'ftp', ports: [8021, 8022] })).toEqual({ first: 8021, last: 8022 });
  });
});

describe('a planner that remembers', () => {
  const words = fc.record({
    address: fc.constantFrom('', '198.51.100.1', '198.51.100.9'),
    protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'tcp+udp' as const),
    ports: fc.tuple(fc.integer({ min: 21, max: 24 }), fc.integer({ min: 0, max: 2 })).map(([p, w]) => [p, p + w] as const),
    targets: fc.constantFrom(
      [{ host: 'db.example.net', port: 80 }],
      [{ host: '10.0.0.10', port: 80 }],
      [
        { host: '10.0.0.10', port: 80 },
        { host: '10.0.0.11', port: 80 },
      ],
    ),
    enabled: fc.boolean(),
    expires: fc.constantFrom(undefined, 500, 1500),
  });
  const step = fc.record({
    set: fc.dictionary(fc.constantFrom('1', '2', '3', '4', '5', '6'), fc.option(words), { maxKeys: 3 }),
    socket: fc.boolean(),
    resolved: fc.boolean(),
    later: fc.boolean(),
    down: fc.boolean(),
  });

  it('says what one without memory says, whatever came before', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), (steps) => {
        const remembering = make();
        const entries = new Map<string, ReadEntry>();
        const answered = new Map([['db.example.net', answer('10.0.0.11')]]);
        const silent = new Map<string, Resolution>();
        let now = 1000;
        let health: PlanInput['health'] = { version: 0, of: () => undefined };
        for (const { set, socket, resolved, later, down } of steps) {
          const found: Health = { state: 'unhealthy' };
          if (down) health = { version: health.version + 1, of: (a) => (a.text === '10.0.0.10' ? found : undefined) };
          for (const [n, w] of Object.entries(set)) {
            if (w) entries.set(n, forward(Number(n), { ...w, expires: w.expires as number }));
            else entries.delete(n);
          }
          if (later) now = 2000;
          const facts = socket ? { ...FACTS, sockets: [{ protocol: 'tcp' as const, port: 23 }] } : { ...FACTS };
          const asked = input([...entries.values()], { facts, names: resolved ? answered : silent, health, now });
          expect(plain(remembering.plan(asked))).toEqual(plain(make().plan(asked)));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('gives the second of two with the same key its next, and that back when it may', () => {
    const planner = new Planner({
      capabilities: { kernel: EVERYTHING },
      keyOf: (of, attempt = 0) => `${attempt}${of.slice(-1) === '9' ? of.slice(-7) : 'cafe123'}`,
    });
    const [one, two, other] = [1, 2, 9].map((n) => forward(n, { ports: [1000 + n, 1000 + n] })) as [
      ReadEntry,
      ReadEntry,
      ReadEntry,
    ];
    const keys = (...entries: ReadEntry[]) => planner.plan(input(entries)).host.forwards.map((f) => f.key);
    expect(keys(one, two, other)).toEqual(['0cafe123', '1cafe123', '00000009']);
    expect(keys(two, other)).toEqual(['0cafe123', '00000009']);
    expect(keys(one, two)).toEqual(['0cafe123', '1cafe123']);
  });

  it('hands on the same objects for what did not change', () => {
    const planner = make();
    const entries = [1, 2, 3].map((n) => forward(n, { ports: [1000 + n, 1000 + n] }));
    const first = planner.plan(input(entries));
    const second = planner.plan(input([...entries, forward(4, { ports: [2000, 2000] })]));
    const [before, now] = [plain(first), plain(second)];
    expect(now.host.forwards.slice(0, 3).every((f, i) => f === before.host.forwards[i])).toBe(true);
    expect(now.judgements.slice(0, 3).every((j, i) => j === before.judgements[i])).toBe(true);
    expect(second.host.relayed).toBe(first.host.relayed);
    expect(planner.plan(input([...second.judgements.map((_, i) => [...entries, forward(4)][i] as ReadEntry)]))).not.toBe(second);
    const third = planner.plan(input(entries));
    expect(planner.plan(input(entries))).toBe(third);
    expect(planner.plan(input(entries, { facts: { ...FACTS, sockets: [{ protocol: 'tcp', port: 9 }] } })).host.forwards).toEqual(
      third.host.forwards,
    );
  });
});
