import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, type RulesSnapshot } from '../lab/index.js';
import { dropByDefault } from './foreign.js';
import { forward } from './forwards.js';
import { Gateway } from './gateway.js';
import { join, NETS, type Net } from './net.js';
import { SERVERS } from './states.js';
import { IPTABLES_DRIVERS, type TableDriver, type TableHost, topology } from './topology.js';

const [OLD, NEW] = [(net: Net) => join(net.t20, 5353), (net: Net) => join(net.t10, 8443)];
const wish = (target: (net: Net) => string, ...more: number[]) =>
  NETS.flatMap((net) => [443, ...more].map((port) => forward(`${join(net.vip, port)}/tcp+udp`, target(net))));
/** When everything was saved, and since. */
const [BEFORE, WANTED] = [wish(OLD, 444, 445), wish(NEW, 446)];
/** Of another tool, there when everything was saved, and gone since. */
const CHAIN = 'saved-with-it';

/** How other tools save all rules of a host, and put them back as they were: what came since is flushed. */
interface Keeper {
  /** What shows the rules of whoever uses it. iptables also makes chains of nftables that hold nothing. */
  readonly shown: (listing: keyof RulesSnapshot) => boolean;
  save(lab: Lab<TableHost>): Promise<string>;
  restore(lab: Lab<TableHost>, saved: string): Promise<void>;
  /** Makes a chain of somebody's, and takes it away. */
  chain(lab: Lab<TableHost>, what: 'add' | 'delete'): Promise<void>;
}

/** As netfilter-persistent does. */
const iptablesKeeper = (variant: 'nft' | 'legacy'): Keeper => ({
  shown: (listing) => listing !== 'nft',
  async save(lab) {
    const texts = await Promise.all(NETS.map((net) => lab.host('gw').exec([`${net.iptables}-${variant}-save`])));
    return JSON.stringify(texts.map((t) => t.stdout));
  },
  async restore(lab, saved) {
    const texts = JSON.parse(saved) as string[];
    for (const [i, net] of NETS.entries())
      await lab.host('gw').exec([`${net.iptables}-${variant}-restore`], { stdin: texts[i] ?? '' });
  },
  async chain(lab, what) {
    for (const net of NETS) await lab.host('gw').exec([`${net.iptables}-${variant}`, '-w', what === 'add' ? '-N' : '-X', CHAIN]);
  },
});

/** As nftables.service does, whose file begins with a flush. */
const nftKeeper: Keeper = {
  shown: (listing) => listing === 'nft',
  save: async (lab) => (await lab.host('gw').exec(['nft', '--stateless', 'list', 'ruleset'])).stdout,
  restore: async (lab, saved) => {
    await lab.host('gw').exec(['nft', '-f', '-'], { stdin: `flush ruleset\n${saved}` });
  },
  chain: async (lab, what) => {
    const lines =
      what === 'add' ? [`add table inet ${CHAIN}`, `add chain inet ${CHAIN} ${CHAIN}`] : [`delete table inet ${CHAIN}`];
    await lab.host('gw').exec(['nft', '-f', '-'], { stdin: `${lines.join('\n')}\n` });
  },
};

interface Case {
  readonly name: string;
  readonly driver: TableDriver;
  readonly keeper: Keeper;
  /** Whether other tools drop by default in the forward hook, by rules of iptables. */
  readonly dropping: boolean;
  /** Whether old forwards come back; else only the way through what others drop. */
  readonly revives: boolean;
}
const cases: readonly Case[] = [
  ...IPTABLES_DRIVERS.map((driver) => ({
    name: `${driver}, by iptables-restore`,
    driver,
    keeper: iptablesKeeper(driver === 'iptables-nft' ? 'nft' : 'legacy'),
    dropping: true,
    revives: true,
  })),
  { name: 'nftables, by iptables-restore', driver: 'nftables', keeper: iptablesKeeper('nft'), dropping: true, revives: false },
  { name: 'nftables, by nft -f', driver: 'nftables', keeper: nftKeeper, dropping: false, revives: true },
];

let lab: Lab<TableHost>;
beforeAll(async () => {
  lab = await Lab.create(topology);
  await lab.host('srv').serve(SERVERS.srv);
});
afterAll(() => lab?.destroy());

/** Another tool saved all rules while an older wish was in force, ours among them, and puts them back. */
describe.each(cases)('an old copy of our rules comes back: $name', ({ driver, keeper, dropping, revives }) => {
  let gateway: Gateway;
  let saved: string;
  /** What others have, when they have what they saved. */
  let theirs: unknown;

  /** One without memory. */
  const startAgent = () => gateway.start(driver, lab.directory('state'));
  const everything = async () => JSON.stringify(await lab.snapshotRules('gw', { without: null }));
  const others = async () => inOrder(await lab.snapshotRules('gw'), keeper.shown);
  const reached = () =>
    Promise.all(
      NETS.map(async (net) => {
        const ask = async (port: number) => {
          const answer = await lab.host('cli').ask({ proto: 'tcp', to: net.vip, port, timeoutMs: 300 });
          return typeof answer === 'string' ? answer : answer.local;
        };
        return { both: await ask(443), before: await ask(444), today: await ask(446) };
      }),
    );
  const BY = {
    nobody: NETS.map(() => ({ both: 'refused', before: 'refused', today: 'refused' })),
    before: NETS.map((net) => ({ both: OLD(net), before: OLD(net), today: 'refused' })),
    today: NETS.map((net) => ({ both: NEW(net), before: 'refused', today: NEW(net) })),
  };
  /** As wanted today, with nothing of ours from before, and all of what others saved. */
  async function isRight(): Promise<void> {
    expect(await reached()).toEqual(BY.today);
    expect(await everything()).not.toMatch(/\b44[45]\b|\b10\.0\.0\.20\b|fd00:10::20\b/);
    expect(await others()).toEqual(theirs);
    expect([await gateway.look(), (await gateway.want(WANTED, { fresh: true })).steps]).toEqual([[], []]);
  }

  beforeAll(async () => {
    await lab.reboot('gw');
    gateway = await Gateway.on(lab.host('gw'));
    await startAgent();
    if (dropping) await dropByDefault(lab.host('gw'), driver);
    await keeper.chain(lab, 'add');
    await gateway.want(BEFORE);
    saved = await keeper.save(lab);
    theirs = await others();
    await keeper.chain(lab, 'delete');
    await gateway.want(WANTED);
    expect(await reached()).toEqual(BY.today);
  });

  it('while the agent runs: found, and put right; what others had is left alone', async () => {
    await keeper.restore(lab, saved);
    expect(await reached()).toEqual(revives ? BY.before : BY.today);
    expect((await gateway.look()).length > 0).toBe(revives);
    await gateway.want(WANTED, { fresh: true });
    await isRight();
  });

  it('before the agent starts, as at boot: put right, and gone where nothing is wanted any more', async () => {
    await gateway.cleanUp();
    expect(await reached()).toEqual(BY.nobody);
    await keeper.restore(lab, saved);
    expect(await reached()).toEqual(revives ? BY.before : BY.nobody);
    await startAgent();
    await gateway.want(WANTED);
    await isRight();
    await keeper.restore(lab, saved);
    await startAgent();
    await gateway.want([]);
    expect(await everything()).not.toMatch(/gwctl/i);
    expect(await others()).toEqual(theirs);
  });
});

/** Each tool lists its tables in the order in which they came to be. */
const inOrder = (rules: RulesSnapshot, shown: Keeper['shown']) =>
  (Object.keys(rules) as (keyof RulesSnapshot)[]).filter(shown).map((listing) => {
    const tables = rules[listing].split(/^(?:COMMIT|\})$/m).map((table) => table.trim());
    return [listing, tables.sort()] as const;
  });
