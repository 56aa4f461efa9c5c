import { describe, expect, it } from 'vitest';
import { FakeExec } from '../../system/exec.fake.js';
import { COMPANION, companionSteps, filterCondition, type OtherFilters, otherForward, withCompanion } from './other-filters.js';
import { ProgramForeignFilters, passes } from './other-filters-reader.js';
import type { SavedChain, SavedTable } from './save-format.js';
import { FakeTables } from './tables.fake.js';

const table = (policy: string, rules: readonly string[], more: Record<string, readonly string[]> = {}): SavedTable =>
  new Map<string, SavedChain>([
    ['FORWARD', { policy, rules }],
    ...Object.entries(more).map(([name, r]) => [name, { rules: r }] as const),
  ]);

describe('the FORWARD chain of the other variant', () => {
  it.each([
    ['lets everything pass', table('ACCEPT', ['-p icmp -j ACCEPT']), { companions: 0 }],
    ['drops by its policy', table('DROP', []), { companions: 0, drops: 'policy DROP' }],
    ['drops by way of a chain', table('ACCEPT', ['-j other'], { other: ['-j REJECT'] }), { companions: 0, drops: '-j other' }],
    ['has our rule', table('DROP', [COMPANION]), { companions: 1, drops: 'policy DROP' }],
    [
      'has our rule too late',
      table('DROP', ['-p tcp -j DROP', COMPANION]),
      { companions: 1, drops: 'policy DROP', before: '-p tcp -j DROP' },
    ],
    ['only speaks of dropping', table('ACCEPT', ['-m comment --comment "-j DROP" -j ACCEPT']), { companions: 0 }],
  ])('%s', (_, chains, expected) => {
    expect(otherForward(chains)).toEqual(expected);
  });

  const filters = (forward: OtherFilters['forward'][4]): OtherFilters => ({
    program: 'iptables-legacy',
    forward: forward ? { 4: forward } : {},
    native: [],
    input: { forward: {}, native: [] },
  });

  it.each([
    ['drops: our rule comes', { companions: 0, drops: 'policy DROP' }, false, [`-I FORWARD 1 ${COMPANION}`]],
    ['has it: nothing to do', { companions: 1, drops: 'policy DROP' }, false, undefined],
    [
      'has it twice',
      { companions: 2, drops: 'policy DROP' },
      false,
      [`-D FORWARD ${COMPANION}`, `-D FORWARD ${COMPANION}`, `-I FORWARD 1 ${COMPANION}`],
    ],
    ['has it and lets everything pass: it goes', { companions: 1 }, false, [`-D FORWARD ${COMPANION}`]],
    ['has it and nothing is forwarded: it goes', { companions: 1, drops: 'policy DROP' }, true, [`-D FORWARD ${COMPANION}`]],
    ['is not there', undefined, false, undefined],
  ])('%s', (_, forward, leaving, lines) => {
    const [step] = companionSteps(filters(forward), { family: 4, hook: 'FORWARD', leaving });
    expect(step?.lines).toEqual(lines);
    if (step) expect(companionSteps(withCompanion(filters(forward), step), { family: 4, hook: 'FORWARD', leaving })).toEqual([]);
  });

  it('is told', () => {
    expect(filterCondition(filters(undefined)).reason).toBe('NOTHING_IN_THE_WAY');
    expect(filterCondition(filters({ companions: 1, drops: 'policy DROP' })).reason).toBe('COMPANION_RULE');
    expect(filterCondition({ ...filters(undefined), trouble: 'nft failed' }).reason).toBe('FILTERS_UNREADABLE');
    const native = [{ table: 'inet firewall', chain: 'forward', priority: 0 }];
    expect(filterCondition({ ...filters(undefined), native })).toMatchObject({
      reason: 'FORWARD_BLOCKED',
      message: expect.stringContaining('nft insert rule inet firewall forward ct mark and 0x1000000 == 0x1000000 accept'),
    });
  });
});

describe('ProgramForeignFilters', () => {
  const chain = (family: string, of: string, name: string, policy: string) => ({
    chain: { family, table: of, name, type: 'filter', hook: 'forward', prio: 0, policy },
  });
  const accept = (left: object) => ({
    rule: { expr: [{ match: { op: '==', left, right: 16777216 } }, { accept: null }] },
  });
  const mark = { '&': [{ ct: { key: 'mark' } }, 16777216] };

  it('names what nft drops, but for what iptables reads and what lets us pass', async () => {
    const all = [
      chain('inet', 'fw', 'forward', 'drop'),
      chain('ip', 'filter', 'FORWARD', 'drop'),
      chain('ip', 'open', 'forward', 'drop'),
    ];
    const exec = new FakeExec({
      answer: ({ args }) => {
        const objects = args.includes('chains') ? all : args.includes('open') ? [accept(mark)] : [];
        return { stdout: JSON.stringify({ nftables: objects }) };
      },
    });
    const other = new FakeTables({ variant: 'legacy' });
    other.meddle('filter', ['-A FORWARD -j DROP']);
    const filters = await new ProgramForeignFilters({ exec, other: { 4: other }, own: 'nft' }).read();
    expect(filters).toEqual({
      program: 'iptables-legacy',
      forward: { 4: { companions: 0, drops: '-j DROP' } },
      input: { forward: { 4: { companions: 0 } }, native: [] },
      native: [{ table: 'inet fw', chain: 'forward', priority: 0 }],
    });
  });

  it('knows a rule that accepts by the mark of the connection', () => {
    expect(passes(JSON.stringify({ nftables: [accept(mark)] }))).toBe(true);
    expect(passes(JSON.stringify({ nftables: [accept({ meta: { key: 'mark' } })] }))).toBe(false);
  });
});
