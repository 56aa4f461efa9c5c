/**
 * Somebody else changes our rules: found with the right cause, repaired in time, foreign rules untouched. Each kind runs several
 * times; the 95th percentile is what counts.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelRules } from '../e2e/kernel-rules.js';
import { World } from '../e2e/world.js';
import { waitFor } from '../lab/index.js';

const LONG = Boolean(process.env.GWCTL_LONG);

interface Damage {
  readonly what: string;
  /** Arguments of the iptables commands that do it, from the rules as they stand. */
  readonly commands: (rules: KernelRules) => Promise<string[][]>;
  readonly cause: string;
}

const DAMAGES: Damage[] = [
  {
    what: 'our nat chains flushed',
    commands: async (r) => (await r.chains('nat')).map((c) => ['-t', 'nat', '-F', c]),
    cause: 'missing',
  },
  { what: 'our hook deleted', commands: async (r) => [await r.deletionOfHook('nat', 'PREROUTING')], cause: 'missing' },
  {
    what: 'one of our rules edited',
    commands: async (r) => [await r.edit('192.168.2.122:10022', '192.168.2.122:10023')],
    cause: 'altered',
  },
  { what: 'iptables -F of a table', commands: async () => [['-t', 'nat', '-F']], cause: 'missing' },
];

describe.each(['iptables-nft', 'iptables-legacy'] as const)('%s', (driver) => {
  const rounds = LONG ? 20 : driver === 'iptables-nft' ? 5 : 1;
  const budgetMs = driver === 'iptables-nft' ? 2_000 : 30_000;
  let world: World;

  beforeAll(async () => {
    world = await World.start({ name: driver === 'iptables-nft' ? 'drift-nft' : 'drift-leg', driver });
    await world.serve('gitbucket', '192.168.2.122:10022');
    await world.serve('gitbucket', '192.168.2.122:10023');
    await world.gwctl([
      'forward',
      'add',
      'ssh',
      '--gateway',
      'gw1',
      '--listen',
      '192.168.1.10:10022',
      '--target',
      '192.168.2.122:10022',
      '--wait',
    ]);
    // Somebody else's rules in tables that no damage below flushes, to be found as they were.
    await world.rules.run(['-A', 'INPUT', '-p', 'tcp', '--dport', '9', '-m', 'comment', '--comment', 'foreign', '-j', 'DROP']);
    await world.rules.run(['-t', 'mangle', '-A', 'POSTROUTING', '-m', 'comment', '--comment', 'foreign', '-j', 'RETURN']);
  });
  afterAll(() => world?.stop());

  it.each(DAMAGES)(
    `$what, ${rounds} times`,
    async ({ commands, cause }) => {
      const foreign = await world.rules.foreign();
      const good = await world.rules.own();
      const times: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const [seen] = await world.events('ssh');
        for (const command of await commands(world.rules)) await world.rules.run(command);
        const since = performance.now();
        await waitFor(async () => (await world.rules.own()) === good, {
          what: 'the rules are as applied',
          timeoutMs: budgetMs * 2,
          intervalMs: 10,
        });
        times.push(performance.now() - since);
        const events = await waitFor(
          async () => {
            const now = await world.events('ssh');
            return now[0]?.reason === 'DRIFT_REPAIRED' && now[0].uid !== seen?.uid ? now : undefined;
          },
          { what: 'an event says so', timeoutMs: 10_000, intervalMs: 100 },
        );
        expect(events[0]).toMatchObject({ reason: 'DRIFT_REPAIRED', gateway: 'gw1', forward: 'ssh', drift: { cause } });
        expect(await world.ask('client', '192.168.1.10:10022')).toMatchObject({ local: '192.168.2.122:10022' });
      }
      times.sort((a, b) => a - b);
      const p95 = times[Math.min(times.length - 1, Math.ceil(times.length * 0.95) - 1)] ?? Number.POSITIVE_INFINITY;
      console.info(
        `${driver}: ${times.length} repairs, p50 ${Math.round(times[Math.floor(times.length / 2)] ?? 0)} ms, p95 ${Math.round(p95)} ms`,
      );
      expect(p95).toBeLessThan(budgetMs);
      expect(await world.rules.foreign()).toBe(foreign);
    },
    900_000,
  );
});
