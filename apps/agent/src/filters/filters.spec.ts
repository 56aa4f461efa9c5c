import { describe, expect, it } from 'vitest';
import { FakeExec } from '../system/exec.fake.js';
import { lastDrop, nativeDrops, ProgramFilters, passes } from './filter-programs.js';
import { COMPANION, parseForward } from './filters.js';

const save = (policy: string, ...rules: string[]) =>
  ['*filter', `:FORWARD ${policy} [0:0]`, ':other - [0:0]', ...rules.map((r) => `-A ${r}`), 'COMMIT', ''].join('\n');

describe('parseForward', () => {
  const cases: [string, string, ReturnType<typeof parseForward>][] = [
    ['no table', '', undefined],
    ['everything passes', save('ACCEPT', 'FORWARD -j other', 'other -j RETURN'), { companions: 0 }],
    ['a policy', save('DROP'), { companions: 0, drops: 'policy DROP' }],
    [
      'a chain that drops, before us',
      save('ACCEPT', 'FORWARD -j other', 'other -p tcp -j REJECT', `FORWARD ${COMPANION}`),
      { companions: 1, drops: '-j other', before: '-j other' },
    ],
    [
      'a chain that drops, behind us',
      save('ACCEPT', `FORWARD ${COMPANION}`, 'FORWARD -j DROP', `FORWARD ${COMPANION}`),
      { companions: 2, drops: '-j DROP' },
    ],
    [
      'a return to a policy that drops',
      save('DROP', 'FORWARD -s 10.0.0.0/8 -j RETURN', `FORWARD ${COMPANION}`),
      { companions: 1, drops: 'policy DROP', before: '-s 10.0.0.0/8 -j RETURN' },
    ],
    ['chains in a circle', save('ACCEPT', 'FORWARD -j other', 'other -j other'), { companions: 0 }],
  ];
  it.each(cases)('%s', (_, text, expected) => expect(parseForward(text)).toEqual(expected));
});

const chains = JSON.stringify({
  nftables: [
    { metainfo: { version: '1.0.6' } },
    { chain: { family: 'ip', table: 'filter', name: 'FORWARD', type: 'filter', hook: 'forward', prio: 0, policy: 'drop' } },
    { chain: { family: 'inet', table: 'fw', name: 'guard', type: 'filter', hook: 'forward', prio: 10, policy: 'drop' } },
    { chain: { family: 'inet', table: 'fw', name: 'open', type: 'filter', hook: 'forward', prio: 1, policy: 'accept' } },
    { chain: { family: 'ip6', table: 'fw', name: 'six', type: 'filter', hook: 'forward', prio: 0, policy: 'drop' } },
    { chain: { family: 'ip', table: 'gwctl', name: 'x', type: 'filter', hook: 'forward', prio: 0, policy: 'drop' } },
  ],
});
const rule = (...expr: unknown[]) => ({ rule: { family: 'inet', table: 'fw', chain: 'guard', handle: 3, expr } });
const listed = (...rules: unknown[]) => JSON.stringify({ nftables: [...rules] });
/** As nft 1.0.6 prints `meta mark and 0x1000000 == 0x1000000`. */
const mark = {
  match: { op: '==', left: { '&': [{ meta: { key: 'mark' } }, 16777216] }, right: 16777216 },
};

describe('chains written with nft', () => {
  it('are found where they drop by policy', () => {
    expect(nativeDrops(chains)).toEqual([
      { table: 'ip filter', chain: 'FORWARD', priority: 0 },
      { table: 'inet fw', chain: 'guard', priority: 10 },
      { table: 'ip6 fw', chain: 'six', priority: 0 },
    ]);
  });

  it('drop by their last rule too, as those of firewalld do', () => {
    const reject = { reject: { type: 'icmpx', expr: 'admin-prohibited' } };
    expect(lastDrop(listed(rule({ accept: null }), rule({ counter: { packets: 1, bytes: 2 } }, reject)))).toBe('reject');
    expect(lastDrop(listed(rule({ log: null }, { drop: null })))).toBe('drop');
    expect(lastDrop(listed(rule(reject), rule({ accept: null })))).toBeUndefined();
    expect(lastDrop(listed(rule({ match: { left: 'tcp' } }, { drop: null })))).toBeUndefined();
    expect(lastDrop(listed())).toBeUndefined();
  });

  it('let us pass by the mark, or by what was sent elsewhere, and by nothing narrower', () => {
    const status = { match: { op: 'in', left: { ct: { key: 'status' } }, right: 'dnat' } };
    expect(passes(listed(rule(mark, { counter: { packets: 1, bytes: 2 } }, { accept: null })), 0)).toBe(true);
    expect(passes(listed(rule(mark, { accept: null })), 10)).toBe(false);
    expect(passes(listed(rule(status, { accept: null })), 0)).toBe(true);
    expect(passes(listed(rule(mark, { drop: null })), 0)).toBe(false);
    expect(passes(listed(rule({ match: { left: 'tcp' } }, mark, { accept: null })), 0)).toBe(false);
    expect(passes(listed(), 0)).toBe(false);
  });
});

describe('ProgramFilters', () => {
  const filters = (answers: Readonly<Record<string, string>>, legacyTables = '') =>
    new ProgramFilters({
      exec: new FakeExec({
        answer: ({ program, args }) => {
          const stdout = answers[[program, ...args].join(' ')];
          return stdout === undefined ? undefined : { stdout };
        },
      }),
      legacyTables: async () => legacyTables,
    });

  it('tells a chain of iptables from one that only looks so', async () => {
    const known = filters({ 'nft -j list chains': chains, 'iptables-nft-save -t filter': save('DROP') });
    expect(await known.read()).toEqual({
      nft: { companions: 0, drops: 'policy DROP' },
      native: [
        { table: 'inet fw', chain: 'guard', priority: 10 },
        { table: 'ip6 fw', chain: 'six', priority: 0 },
      ],
      input: { native: [] },
    });
    const unreadable = filters({
      'nft -j list chains': chains,
      'iptables-nft-save -t filter': "# Table `filter' is incompatible, use 'nft' tool.\n",
    });
    expect(await unreadable.read()).toMatchObject({
      native: [
        { table: 'ip filter', chain: 'FORWARD', priority: 0 },
        { table: 'inet fw', chain: 'guard', priority: 10 },
        { table: 'ip6 fw', chain: 'six', priority: 0 },
      ],
      trouble: expect.stringContaining('cannot show'),
    });
  });

  it('reads what meets packets to the gateway itself, which carry our mark sooner', async () => {
    const chain = (over: object) => ({
      chain: { family: 'inet', table: 'fw', name: 'in', hook: 'input', prio: 10, policy: 'drop', ...over },
    });
    const chainsIn = listed(
      chain({}),
      chain({ name: 'early', prio: -200 }),
      chain({ family: 'ip', table: 'filter', name: 'INPUT' }),
    );
    const answers = {
      'nft -j list chains': chainsIn,
      'iptables-nft-save -t filter': '*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n',
      'nft -j list chain inet fw in': listed(rule({ match: { left: 'tcp' } }, { accept: null })),
      'nft -j list chain inet fw early': listed(rule(mark, { accept: null })),
    };
    expect((await filters(answers).read()).input).toEqual({
      nft: { companions: 0, drops: 'policy DROP' },
      native: [
        { table: 'inet fw', chain: 'in', priority: 10 },
        { table: 'inet fw', chain: 'early', priority: -200 },
      ],
    });
    const open = { ...answers, 'nft -j list chain inet fw in': listed(rule(mark, { accept: null })) };
    expect((await filters(open).read()).input.native).toEqual([{ table: 'inet fw', chain: 'early', priority: -200 }]);
  });

  it('asks iptables-legacy only where it is in use', async () => {
    const answers = { 'nft -j list chains': listed(), 'iptables-legacy-save -t filter': save('DROP') };
    expect((await filters(answers).read()).legacy).toBeUndefined();
    expect((await filters(answers, 'nat\nfilter\n').read()).legacy).toEqual({ companions: 0, drops: 'policy DROP' });
  });

  it('reads and writes those of IPv6 with the programs of IPv6', async () => {
    const answers = {
      'nft -j list chains': chains,
      'ip6tables-nft-save -t filter': save('DROP'),
      'ip6tables-legacy-save -t filter': save('ACCEPT'),
      'nft -j list chain inet fw open': listed(rule({ drop: null })),
    };
    const one = new ProgramFilters({
      exec: new FakeExec({
        answer: ({ program, args }) => {
          const stdout = (answers as Readonly<Record<string, string>>)[[program, ...args].join(' ')];
          return stdout === undefined ? undefined : { stdout };
        },
      }),
      legacyTables: async () => '',
      legacyTables6: async () => 'filter\n',
    });
    expect(await one.read()).toMatchObject({
      six: { nft: { drops: 'policy DROP' }, legacy: { companions: 0 } },
      native: [
        { table: 'ip filter', chain: 'FORWARD' },
        { table: 'inet fw', chain: 'guard' },
        { table: 'inet fw', chain: 'open', by: 'drop' },
        { table: 'ip6 fw', chain: 'six' },
      ],
    });
    const exec = new FakeExec({ answer: () => ({}) });
    await new ProgramFilters({ exec, legacyTables: async () => '' }).place({
      variant: 'nft',
      family: 6,
      hook: 'FORWARD',
      wanted: true,
      present: 0,
    });
    expect(exec.commands.map((c) => c.program)).toEqual(['ip6tables-nft-restore']);
  });

  it('places exactly one rule, first', async () => {
    const exec = new FakeExec({ answer: () => ({}) });
    await new ProgramFilters({ exec, legacyTables: async () => '' }).place({
      variant: 'legacy',
      family: 4,
      hook: 'FORWARD',
      wanted: true,
      present: 2,
    });
    expect(exec.commands.map((c) => [c.program, c.stdin])).toEqual([
      [
        'iptables-legacy-restore',
        `*filter\n-D FORWARD ${COMPANION}\n-D FORWARD ${COMPANION}\n-I FORWARD 1 ${COMPANION}\nCOMMIT\n`,
      ],
    ]);
  });
});
