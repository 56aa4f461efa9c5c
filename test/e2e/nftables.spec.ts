/** The nftables driver under the real agent: traffic beside a ufw that drops, a flushed ruleset repaired, nothing left. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Ufw } from '../lab/daemons/ufw.js';
import { waitFor } from '../lab/index.js';
import { World } from './world.js';

const LISTENER = '192.168.1.10:10022';
const TARGET = '192.168.2.122:10022';
let world: World;

beforeAll(async () => {
  world = await World.start({
    name: 'nftables',
    driver: 'nftables',
    before: async (lab) => {
      await Ufw.enable(lab, 'gw1', { rules: ['allow 22/tcp'] });
    },
  });
  await world.serve('gitbucket', TARGET);
});
afterAll(() => world?.stop());

const table = async () => (await world.lab.host('gw1').exec(['nft', 'list', 'tables'])).stdout;

describe('gwctl-agent run --driver nftables', () => {
  it('carries traffic although ufw drops what is forwarded', async () => {
    const flags = ['--gateway', 'gw1', '--listen', LISTENER, '--target', TARGET, '--allow', '192.168.1.0/24', '--wait'];
    await world.gwctl(['forward', 'add', 'ssh', ...flags]);
    expect(await world.ask('client', LISTENER)).toMatchObject({
      local: TARGET,
      peer: expect.stringMatching(/^192\.168\.2\.10:/),
    });
    expect(await world.ask('outsider', LISTENER, { timeoutMs: 400 })).toBe('timeout');
    const forward = JSON.parse((await world.gwctl(['forward', 'get', 'ssh', '-o', 'json'])).stdout);
    expect(forward.status.placements[0]).toMatchObject({ state: 'ACTIVE', driver: 'nftables' });
    expect(await table()).toMatch(/table ip gwctl/);
  });

  it('repairs a table that somebody deleted, and says so', async () => {
    await world.lab.host('gw1').exec(['nft', 'delete', 'table', 'ip', 'gwctl']);
    await world.reaches('client', LISTENER, { timeoutMs: 2_000 });
    const repaired = async () =>
      (await world.events('ssh')).some((e) => e.reason === 'DRIFT_REPAIRED' && e.drift?.cause === 'missing');
    await waitFor(repaired, { what: 'an event says so', intervalMs: 100 });
  });

  it('is switched to iptables and back by a restart, without a lost probe', async () => {
    const prober = await world.probe('client', LISTENER);
    await world.agent.kill('SIGTERM');
    await world.agent.start({ driver: 'iptables-nft' });
    await waitFor(async () => !(await table()).includes('table ip gwctl'), { what: "nftables' table is gone" });
    expect(await world.rules.own()).toContain('GWCTL-DISP');
    await world.agent.kill('SIGTERM');
    await world.agent.start({ driver: 'nftables' });
    await waitFor(async () => !(await world.rules.own()).includes('GWCTL-DISP'), { what: "iptables' chains are gone" });
    expect(await table()).toMatch(/table ip gwctl/);
    expect(await prober.stop()).toMatchObject({ lost: 0, refused: 0, broken: 0 });
  });

  it('leaves nothing after the last forward', async () => {
    await world.gwctl(['forward', 'delete', 'ssh', '--wait']);
    expect(await table()).not.toMatch(/gwctl/);
    expect(await world.rules.own()).toBe('');
  });
});
