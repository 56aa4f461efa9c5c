import { type TrafficWords, traffic } from '@gwctl/shared/testing/traffic';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { uidOf } from '../testing/forwards.js';
import { EVERYTHING, FACTS } from '../testing/gateway.js';
import { ip } from '../testing/placed.js';
import { keyOf, NO_LIMITS } from '../testing/plan-forwards.js';
import { Planner } from './planner.js';
import type { DesiredForward, HostFacts, Judgement, Planned, ReadEntry, Resolution } from './types.js';

const CARRIERS = { kernel: EVERYTHING, relay: { families: [4, 6] as const, targets: 64, announce: true } };
/** The administrator permits loopback. */
const POLICY = { ...NO_LIMITS, permitsLocal: ({ text }: { readonly text: string }) => text.startsWith('127.') };

/** `LISTENER -> TARGET, TARGET`, listeners being announced where they are addresses: `10.0.0.77:80 -> 10.0.0.78:81`. */
function wanted(n: number, words: string, more: TrafficWords = {}): DesiredForward {
  const [listener = '', ...targets] = words.split(/ -> |, /);
  const [, host = '', first = '', last = first] = /^(.*):(\d+)(?:-(\d+))?$/.exec(listener) ?? [];
  const spec = traffic({
    driver: 'relay',
    listen: {
      address: host === '*' ? '' : host,
      announce: host.startsWith('10.'),
      ports: { first: Number(first), last: Number(last) },
      ...more.listen,
    },
    targets: targets.map((t) => {
      const [, to = '', port = ''] = /^(.*):(\d+)$/.exec(t) ?? [];
      return { host: to, port: Number(port), weight: 1 };
    }),
    ...(more.enabled === undefined ? {} : { enabled: more.enabled }),
  });
  return { uid: uidOf(n), generation: 1, name: `f${n}`, spec };
}

const entriesOf = (forwards: readonly DesiredForward[]): ReadEntry[] =>
  forwards.map((forward) => ({ kind: 'forward', uid: forward.uid, forward }));

const planner = () => new Planner({ capabilities: CARRIERS, keyOf });

function plan(
  by: Planner,
  entries: readonly ReadEntry[],
  more: { readonly names?: ReadonlyMap<string, Resolution>; readonly facts?: HostFacts } = {},
): Planned {
  const { names = new Map(), facts = FACTS } = more;
  return by.plan({ entries, facts, policy: POLICY, names, health: { version: 0, of: () => undefined }, now: 1_000 });
}

const planned = (...forwards: readonly DesiredForward[]) => plan(planner(), entriesOf(forwards));
const kinds = ({ judgements }: Planned) => judgements.map((j) => j.verdict.kind);
const verdict = ({ judgements }: Planned, n: number): Judgement['verdict'] | undefined => judgements.get(uidOf(n))?.verdict;

describe('relayed forwards that would feed each other without end', () => {
  it('two: the later one is refused, and both are named', () => {
    const all = planned(wanted(1, '10.0.0.77:80 -> 10.0.0.78:81'), wanted(2, '10.0.0.78:81 -> 10.0.0.77:80'));
    expect(kinds(all)).toEqual(['relay', 'reject']);
    expect(verdict(all, 2)).toEqual({
      kind: 'reject',
      reason: 'TARGET_IS_LISTENER',
      violations: [
        {
          field: 'spec.targets[0].host',
          description:
            '10.0.0.77 leads back to this very listener by way of forward f1 (10.0.0.77:80/tcp), without end; name another target in one of them',
        },
      ],
    });
    expect(all.host.relayed.map((f) => f.uid)).toEqual([uidOf(1)]);
    // Nobody is to answer for an address at which nobody listens.
    expect(all.host.announced.map((a) => a.address.text)).toEqual(['10.0.0.77']);
  });

  it('any number of them, by way of every address, of loopback, and of ranges', () => {
    const all = planned(
      wanted(1, '10.0.0.77:80 -> 127.0.0.1:1085'),
      wanted(2, '*:1080-1089 -> 10.0.0.79:80'),
      wanted(3, '10.0.0.79:85 -> 192.168.0.1:7, 10.0.0.77:80'),
    );
    expect(kinds(all)).toEqual(['relay', 'relay', 'reject']);
    expect(verdict(all, 3)).toMatchObject({
      violations: [{ field: 'spec.targets[1].host', description: expect.stringMatching(/way of forward f1 .* and forward f2 /) }],
    });
  });

  it.each([
    ['a chain', ['10.0.0.77:80 -> 10.0.0.78:81', '10.0.0.78:81 -> 10.0.0.79:82', '10.0.0.79:82 -> 192.168.0.1:80']],
    ['another port', ['10.0.0.77:80 -> 10.0.0.78:81', '10.0.0.78:81 -> 10.0.0.77:82']],
    ['another part of a range', ['10.0.0.77:80-81 -> 10.0.0.78:80', '10.0.0.78:81 -> 10.0.0.77:82']],
    ['targets elsewhere', ['10.0.0.77:80 -> 192.168.0.1:80', '10.0.0.78:80 -> 192.168.0.1:80']],
  ])('is not said of %s', (_, all) => {
    expect(new Set(kinds(planned(...all.map((words, i) => wanted(i + 1, words)))))).toEqual(new Set(['relay']));
  });

  it('is not said of two that carry other protocols, nor of a listener on one interface', () => {
    const udp = wanted(2, '10.0.0.78:81 -> 10.0.0.77:80', { listen: { protocol: 'udp' } });
    expect(kinds(planned(wanted(1, '10.0.0.77:80 -> 10.0.0.78:81'), udp))).toEqual(['relay', 'relay']);
    const lan = wanted(2, '10.0.0.78:81 -> 10.0.0.77:80', { listen: { interface: 'lan' } });
    expect(kinds(planned(wanted(1, '10.0.0.77:80 -> 10.0.0.78:81'), lan))).toEqual(['relay', 'relay']);
  });

  it('ends when the other one goes, and begins when it comes back', () => {
    const by = planner();
    const [one, two] = entriesOf([wanted(1, '10.0.0.77:80 -> 10.0.0.78:81'), wanted(2, '10.0.0.78:81 -> 10.0.0.77:80')]);
    const [off] = entriesOf([wanted(1, '10.0.0.77:80 -> 10.0.0.78:81', { enabled: false })]);
    if (!one || !two || !off) throw new Error('three were made');
    expect(kinds(plan(by, [one, two]))).toEqual(['relay', 'reject']);
    expect(kinds(plan(by, [off, two]))).toEqual(['disabled', 'relay']);
    expect(kinds(plan(by, [two]))).toEqual(['relay']);
    expect(kinds(plan(by, [one, two]))).toEqual(['relay', 'reject']);
  });

  it('changes nothing of what else is planned, nor the objects that stand for it', () => {
    const by = planner();
    const entries = entriesOf([
      wanted(1, '10.0.0.77:80 -> 10.0.0.78:81'),
      wanted(2, '10.0.0.78:81 -> 10.0.0.77:80'),
      wanted(3, '10.0.0.79:80 -> 192.168.0.1:80'),
    ]);
    const first = plan(by, entries);
    expect(plan(by, entries)).toBe(first);
    const more = entriesOf([wanted(4, '198.51.100.1:80 -> 192.168.0.1:80', {})]);
    const second = plan(by, [...entries, ...more]);
    expect(kinds(second)).toEqual(['relay', 'reject', 'relay', 'relay']);
    expect(second.judgements.get(uidOf(2))).toBe(first.judgements.get(uidOf(2)));
    const third = plan(by, entries);
    expect(plan(by, [...entries]).host.relayed).toBe(third.host.relayed);
    expect(third.host.announced).toBe(second.host.announced);
  });

  it('leaves out what a name resolved to, and waits where nothing is left', () => {
    const by = planner();
    const [one] = entriesOf([wanted(1, '10.0.0.77:80 -> 10.0.0.78:81')]);
    const [name] = entriesOf([wanted(2, '10.0.0.78:81 -> back.example:80')]);
    if (!one || !name) throw new Error('two were made');
    const known = (...addresses: readonly string[]) => ({
      names: new Map([['back.example', { addresses: addresses.map(ip), fresh: true }]]),
    });
    const some = plan(by, [one, name], known('10.0.0.77', '192.168.0.1'));
    expect(verdict(some, 2)).toMatchObject({
      kind: 'relay',
      forward: { targets: [{ address: { text: '192.168.0.1' } }] },
      targets: [{ address: '192.168.0.1' }],
      remarks: [
        {
          type: 'TargetsUsable',
          reason: 'TARGET_FORBIDDEN',
          message: expect.stringMatching(/^back\.example has 10\.0\.0\.77, .* by way of forward f1 /),
        },
      ],
    });
    expect(kinds(plan(by, [one, name], known('10.0.0.77')))).toEqual(['relay', 'wait']);
    expect(plan(by, [one, name], known('10.0.0.77')).host.relayed.map((f) => f.uid)).toEqual([uidOf(1)]);
    expect(verdict(plan(by, [one, name], known('192.168.0.1')), 2)).toMatchObject({ kind: 'relay', remarks: [] });
  });

  it('never are left, whatever was wanted before, and nobody is refused who closes no circle', () => {
    const hosts = ['10.0.0.71', '10.0.0.72', '127.0.0.1'];
    const place = fc.record({ host: fc.constantFrom(...hosts), port: fc.integer({ min: 1, max: 3 }) });
    const places = fc.uniqueArray(place, { minLength: 1, maxLength: 2, selector: (p) => `${p.host} ${p.port}` });
    const one = fc.record({ from: place, to: places });
    const state = fc.array(one, { maxLength: 8 });
    fc.assert(
      fc.property(fc.array(state, { minLength: 1, maxLength: 4 }), (states) => {
        const by = planner();
        for (const all of states) {
          const entries = entriesOf(
            all.map(({ from, to }, i) =>
              wanted(i + 1, `${from.host}:${from.port} -> ${to.map((t) => `${t.host}:${t.port}`).join(', ')}`),
            ),
          );
          const now = plan(by, entries);
          expect([...now.judgements]).toEqual([...plan(planner(), entries).judgements]);
          const carried = now.judgements.filter((j) => j.verdict.kind === 'relay');
          expect(hasCircle(carried)).toBe(false);
          for (const judgement of now.judgements.filter(closesOne)) expect(hasCircle([...carried, judgement])).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });
});

const closesOne = ({ verdict: v }: Judgement) =>
  v.kind === 'reject' && v.violations.some((violation) => violation.description.includes('by way of'));

/** Told in another way: whether following targets from one of the forwards ever comes to one twice. */
function hasCircle(all: readonly Judgement[]): boolean {
  const next = new Map(all.map((j) => [j.uid, all.filter((k) => leads(j, k))]));
  const comesBack = (uid: string, on: readonly string[]): boolean =>
    on.includes(uid) || (next.get(uid) ?? []).some((g) => comesBack(g.uid, [...on, uid]));
  return all.some((j) => comesBack(j.uid, []));
}

const leads = ({ spec: from }: Judgement, { spec: to }: Judgement): boolean =>
  from?.targets.some(
    ({ host, port }) => host.kind === 'ip' && host.address.text === to?.listen.address?.text && port === to?.listen.ports?.first,
  ) === true;
