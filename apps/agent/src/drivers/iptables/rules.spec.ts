import { describe, expect, it } from 'vitest';
import { placed } from '../../testing/placed.js';
import { clientMatch } from './client-hash.js';
import { destination, probabilityText, targetRules } from './rules.js';
import { range, target } from './testing.js';

describe('destination', () => {
  it.each([
    [range(443), target('10.0.0.10', 8443), '10.0.0.10:8443'],
    [range(5000, 5010), target('10.0.0.20', 5000), '10.0.0.20'],
    [range(7000, 7010), target('10.0.0.20', 5000), '10.0.0.20:5000-5010/7000'],
    [range(443), target('fd00::10', 8443), '[fd00::10]:8443'],
    [range(7000, 7010), target('fd00::10', 5000), '[fd00::10]:5000-5010/7000'],
    [range(5000, 5010), target('fd00::10', 5000), 'fd00::10'],
  ])('%o to %o', (ports, to, expected) => {
    expect(destination({ ...placed(), listen: { protocol: 'tcp', ports } }, to)).toBe(expected);
  });
});

describe('probabilityText', () => {
  it.each([
    // What iptables 1.8.9 printed for each.
    [1 / 2, '0.50000000000'],
    [1 / 3, '0.33333333349'],
    [0.7, '0.70000000019'],
    [1 / 4096, '0.00024414062'],
    [3 / 4096, '0.00073242188'],
    [1, '1.00000000000'],
  ])('%d is %s', (probability, text) => {
    expect(probabilityText(probability)).toBe(text);
  });
});

/** Runs classic BPF as filter.rst describes it, over a header whose source begins at the offsets that are loaded. */
function matches(match: string, words: ReadonlyMap<number, number>): boolean {
  const [, count, text = ''] = /--bytecode "(\d+),([\d ,]+)"/.exec(match) ?? [];
  const program = text.split(',').map((i) => i.split(' ').map(Number));
  expect(program.length).toBe(Number(count));
  let [a, x] = [0, 0];
  for (const [code, , , k = 0] of program) {
    if (code === 0x20) a = words.get(k) ?? Number.NaN;
    else if (code === 0x00) a = k;
    else if (code === 0x07) x = a;
    else if (code === 0x24) a = Math.imul(a, k) >>> 0;
    else if (code === 0xac) a = (a ^ x) >>> 0;
    else if (code === 0x74) a = a >>> k;
    else if (code === 0x7c) a = a >>> x;
    else if (code === 0x54) a = (a & k) >>> 0;
    else return a !== 0;
  }
  throw new Error('the program has no end');
}

describe('shares of clients', () => {
  const clients = {
    4: Array.from({ length: 256 }, (_, i) => new Map([[12, 0xc0000200 + i]])),
    // Neighbours, whose first 96 bits are alike.
    6: Array.from(
      { length: 256 },
      (_, i) =>
        new Map([
          [8, 0x20010db8],
          [12, 1],
          [16, 0],
          [20, i],
        ]),
    ),
  };

  it.each([4, 6] as const)('IPv%i: each client has exactly one, and they are about even', (family) => {
    const shares = Array.from({ length: 32 }, (_, share) => clientMatch(family, 1 << share));
    const sizes = shares.map((match) => clients[family].filter((c) => matches(match, c)).length);
    expect(sizes.reduce((a, b) => a + b, 0)).toBe(256);
    expect(Math.max(...sizes)).toBeLessThan(24);
    expect(Math.min(...sizes)).toBeGreaterThan(0);
  });

  it('a client whose target stays keeps it', () => {
    const targets = [target('10.0.0.31', 80, 3), target('10.0.0.32', 80), target('10.0.0.33', 80, 2)];
    const of = (client: ReadonlyMap<number, number>, some: typeof targets) => {
      const rules = targetRules({ ...placed(), targets: some, affinity: 'client' }) ?? [];
      const rule = rules.find((r) => !r.includes('--bytecode') || matches(r, client));
      return / -j DNAT --to-destination (\S+)$/.exec(rule ?? '')?.[1];
    };
    const before = clients[4].map((c) => of(c, targets));
    const after = clients[4].map((c) => of(c, targets.slice(1)));
    const stayed = before.flatMap((b, i) => (b === '10.0.0.31:80' ? [] : [[b, after[i]]]));
    expect(stayed.length).toBeGreaterThan(0);
    for (const [was, is] of stayed) expect(is).toBe(was);
    expect(new Set(before).size).toBe(3);
  });
});

describe('shares at random', () => {
  it('are what is left after those before', () => {
    const rules = targetRules({
      ...placed(),
      listen: { protocol: 'tcp+udp', ports: range(53) },
      targets: [target('10.0.0.1', 53, 2), target('10.0.0.2', 53, 1), target('10.0.0.3', 53, 1)],
    });
    const tcp = [
      '-m statistic --mode random --probability 0.50000000000',
      '-m statistic --mode random --probability 0.50000000000',
      '',
    ];
    expect(rules?.map((r) => /-m statistic \S+ \S+ \S+ \S+/.exec(r)?.[0] ?? '')).toEqual([...tcp, ...tcp]);
    expect(rules?.map((r) => r.slice(0, 6))).toEqual(['-p tcp', '-p tcp', '-p tcp', '-p udp', '-p udp', '-p udp']);
  });
});
