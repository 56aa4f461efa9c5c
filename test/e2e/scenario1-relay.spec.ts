/** Scenario 1, its fourth point: the same forward as a relay and back again, under traffic, on a gateway whose ufw drops by default. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Sshd } from '../lab/daemons/sshd.js';
import { Ufw } from '../lab/daemons/ufw.js';
import { type Prober, type RulesSnapshot, waitFor } from '../lab/index.js';
import { rootOnly } from '../lab/root-only.js';
import { scenario1 } from '../lab/scenario1.js';
import { expectSshAndGit } from './ssh-and-git.js';
import { World } from './world.js';

const listener = `${scenario1.gateway}:${scenario1.sshPort}`;
const target = `${scenario1.gitbucket}:${scenario1.sshPort}`;
/** UDP beside it, which has no end to wait for. */
const dns = `${scenario1.gateway}:10053`;
const ONLY_LAN = ['--interface', 'enp1s0', '--allow', scenario1.lan];
/** The longest that an attempt may take, in milliseconds, shorter than the second after which a lost SYN is sent again. */
const AT_ONCE = 900;

const ROUNDS = process.env.GWCTL_LONG ? 25 : 2;
/** Milliseconds for all of them. On a busy machine one takes some seconds: two programs of the operator, and all filters read back. */
const LONGEST = 60_000 + ROUNDS * 6_000;

interface Shown {
  readonly state: string;
  readonly driver: string;
  readonly clientAddress: string;
  readonly conditions: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason: string;
    readonly message: string;
  }[];
}

describe.each(['iptables-nft', 'nftables'] as const)('from %s to the relay and back', (driver) => {
  let world: World;
  let ufw: Ufw;
  let before: RulesSnapshot;
  let others: string;

  beforeAll(async () => {
    world = await World.start({
      name: driver === 'nftables' ? 'relayn' : 'relayi',
      driver,
      before: async (lab) => {
        ufw = await Ufw.enable(lab, 'gw1', { rules: ['allow from 192.168.1.0/24 to any port 22 proto tcp'] });
        await ufw.run('reload');
      },
    });
    before = await world.lab.snapshotRules('gw1', { without: null });
    others = await world.rules.foreign();
    await world.add('gitbucket-ssh', listener, target, ...ONLY_LAN, '--wait');
  });
  afterAll(() => world?.stop({ mayBeLeft: [/ relay --state-dir /] }));

  const shown = async (): Promise<Shown> => {
    const forward = JSON.parse((await world.gwctl(['forward', 'get', 'gitbucket-ssh', '-o', 'json'])).stdout);
    return forward.status.placements[0];
  };
  const carriedBy = (kind: 'relay' | 'kernel') => world.gwctl(['forward', 'set', 'gitbucket-ssh', '--driver', kind, '--wait']);
  /** New connections at a high rate, one that stays, and the same of UDP. */
  const load = async (): Promise<readonly Prober[]> => {
    const client = world.lab.host('client');
    const to = { to: scenario1.gateway, port: scenario1.sshPort, timeoutMs: AT_ONCE };
    const probers = [client.prober({ ...to, rate: 200 }), client.prober({ ...to, kind: 'longFlow', rate: 50 })];
    for (const prober of probers) await prober.start().settled();
    return probers;
  };
  const nothingLost = async (probers: readonly Prober[]): Promise<void> => {
    const reports = await Promise.all(probers.map((p) => p.stop()));
    for (const report of reports) expect(report, JSON.stringify(report)).toMatchObject({ lost: 0, refused: 0, broken: 0 });
    expect(reports[1]?.survived).toBe(true);
    expect(reports[0]?.succeeded).toBeGreaterThan(20);
  };
  const gateway = () => world.lab.host('gw1');
  const isListening = () => gateway().isListening(scenario1.sshPort);
  const dnatRules = async () =>
    JSON.stringify(await world.lab.snapshotRules('gw1', { without: null })).match(/dnat to [^"]*10022|--to-destination/gi) ?? [];

  it('goes from the kernel to the relay: no attempt is refused, and what is open goes on', async () => {
    const server = await world.serve('gitbucket', target);
    expect(await shown()).toMatchObject({ state: 'ACTIVE', driver });
    expect(isListening()).toBe(false);
    const probers = await load();
    await carriedBy('relay');
    await world.reaches('client', listener);
    await nothingLost(probers);
    const now = await shown();
    expect(now).toMatchObject({ state: 'ACTIVE', driver: 'relay' });
    expect(now.clientAddress).toMatch(/^no: the target sees the gateway's address/);
    expect(now.conditions).toContainEqual(expect.objectContaining({ type: 'Carrier', status: 'true', reason: 'RELAY_CHOSEN' }));
    expect(isListening()).toBe(true);
    await server.stop();
  });

  it('has no rule of the forward in the kernel once its last flow has ended', async () => {
    await waitFor(async () => (await dnatRules()).length === 0, { what: 'the DNAT rules are gone', timeoutMs: 30_000 });
    const server = await world.serve('gitbucket', target);
    expect(await world.ask('client', listener)).toMatchObject({
      local: target,
      peer: expect.stringMatching(/^192\.168\.2\.10:/),
    });
    // From outside the allow-list it is not even seen.
    expect(await world.ask('outsider', listener, { timeoutMs: 400 })).toBe('timeout');
    await server.stop();
  });

  it('is let in through ufw, whose own rules stay byte for byte, and again after its reload', async () => {
    const server = await world.serve('gitbucket', target);
    expect(await world.rules.foreign()).toBe(others);
    await ufw.run('reload');
    await world.reaches('client', listener);
    await server.stop();
  });

  rootOnly('carries a real ssh session and a git clone', 'sshd', async () => {
    const port = 10024;
    const sshd = await Sshd.start(world.lab, 'gitbucket', { addresses: [scenario1.gitbucket], port });
    const flags = [...ONLY_LAN, '--driver', 'relay', '--wait'];
    await world.add('real-ssh', `${scenario1.gateway}:${port}`, `${scenario1.gitbucket}:${port}`, ...flags);
    await expectSshAndGit(world, sshd);
    await world.gwctl(['forward', 'delete', 'real-ssh', '--wait=60s']);
  });

  it('goes back to the kernel: no attempt is refused, what is open goes on, and nobody listens any more', async () => {
    const server = await world.serve('gitbucket', target);
    const probers = await load();
    await carriedBy('kernel');
    await waitFor(async () => !isListening(), { what: 'the relay has let go of its port' });
    await nothingLost(probers);
    expect(await shown()).toMatchObject({ state: 'ACTIVE', driver });
    expect((await shown()).conditions.map((c) => c.type)).not.toContain('Carrier');
    expect(await world.ask('client', listener)).toMatchObject({ local: target });
    await server.stop();
  });

  it(
    'goes both ways again and again under short connections alone, which keep nothing of the old driver in place',
    async () => {
      const server = await world.serve('gitbucket', target);
      const to = { to: scenario1.gateway, port: scenario1.sshPort, timeoutMs: AT_ONCE, rate: 200 };
      const prober = await world.lab.host('client').prober(to).start().settled();
      for (let round = 0; round < ROUNDS; round++) for (const kind of ['relay', 'kernel'] as const) await carriedBy(kind);
      const report = await prober.stop();
      expect(report, JSON.stringify(report)).toMatchObject({ lost: 0, refused: 0, broken: 0 });
      await server.stop();
    },
    LONGEST,
  );

  if (driver === 'nftables')
    it('follows the example that people copy: to the relay, limits that only it has, and back', async () => {
      const server = await world.serve('gitbucket', target);
      const said = (await world.example('1-the-same-by-the-relay.sh')).stdout;
      expect(said).toMatch(/RELAY_CHOSEN/);
      await waitFor(async () => !isListening(), { what: 'the relay has let go of its port' });
      expect(await shown()).toMatchObject({ state: 'ACTIVE', driver });
      expect(await world.ask('client', listener)).toMatchObject({ local: target });
      await server.stop();
    });

  it('moves a UDP client that keeps sending, each way', async () => {
    const server = await world.serve('gitbucket', '192.168.2.122:10053', 'udp');
    await world.add('dns', `${dns}/udp`, '192.168.2.122:10053', ...ONLY_LAN, '--wait');
    const prober = world.lab
      .host('client')
      .prober({ to: scenario1.gateway, port: 10053, proto: 'udp', rate: 50, timeoutMs: AT_ONCE });
    await prober.start().settled();
    for (const kind of ['relay', 'kernel'] as const) await world.gwctl(['forward', 'set', 'dns', '--driver', kind, '--wait']);
    expect(await prober.stop()).toMatchObject({ refused: 0, broken: 0, lost: 0 });
    await world.gwctl(['forward', 'delete', 'dns', '--wait=60s']);
    await server.stop();
  });

  it('leaves nothing of ours after its deletion from the relay, and the rest byte for byte', async () => {
    const server = await world.serve('gitbucket', target);
    await carriedBy('relay');
    await world.gwctl(['forward', 'delete', 'gitbucket-ssh', '--wait=60s']);
    await server.stop();
    await waitFor(async () => !isListening(), { what: 'the relay has let go of its port' });
    await waitFor(async () => !/gwctl/i.test(JSON.stringify(await world.lab.snapshotRules('gw1', { without: null }))), {
      what: 'nothing of gwctl is in the packet filters',
      timeoutMs: 30_000,
    });
    expect(await world.lab.snapshotRules('gw1', { without: null })).toEqual(before);
  });
});
