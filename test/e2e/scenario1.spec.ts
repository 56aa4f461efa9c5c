/** Scenario 1: a gateway that is not the default route, with a real ufw that drops by default, a real sshd and git. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Sshd } from '../lab/daemons/sshd.js';
import { Ufw } from '../lab/daemons/ufw.js';
import type { RulesSnapshot } from '../lab/index.js';
import { rootOnly } from '../lab/root-only.js';
import { scenario1 } from '../lab/scenario1.js';
import { expectSshAndGit } from './ssh-and-git.js';
import { World } from './world.js';

const listener = `${scenario1.gateway}:${scenario1.sshPort}`;
const target = `${scenario1.gitbucket}:${scenario1.sshPort}`;
const ADD = [
  'forward',
  'add',
  'gitbucket-ssh',
  '--gateway',
  'gw1',
  '--listen',
  listener,
  '--interface',
  'enp1s0',
  '--target',
  target,
];
const NOTES = [
  '--allow',
  scenario1.lan,
  '--description',
  'SSH to GitBucket for the lab network',
  '--owner',
  'web-team',
  '--label',
  'team=web',
];

let world: World;
let ufw: Ufw;
let before: RulesSnapshot;

beforeAll(async () => {
  world = await World.start({
    name: 'scenario1',
    before: async (lab) => {
      ufw = await Ufw.enable(lab, 'gw1', { rules: ['allow from 192.168.1.0/24 to any port 22 proto tcp'] });
      // ufw's IPv6 chains gain two rules of its own with its first reload; what counts is the state after it.
      await ufw.run('reload');
    },
  });
  before = await world.lab.snapshotRules('gw1', { without: null });
});
afterAll(() => world?.stop());

/** Rules of others, without the one jump of ours in a built-in chain and without our chains. */
const foreign = () => world.lab.snapshotRules('gw1');

describe('one command instead of forty lines', () => {
  it('forwards from the allowed network, although ufw drops forwarded traffic and the target routes elsewhere', async () => {
    const server = await world.serve('gitbucket', target);
    expect(await world.ask('client', listener)).not.toMatchObject({ local: target });
    const added = await world.gwctl([...ADD, ...NOTES, '--wait']);
    expect(added.stderr + added.stdout).toMatch(/gitbucket-ssh/);
    expect(await world.ask('client', listener)).toMatchObject({
      local: target,
      // Replies come back because the target sees the gateway's inside address.
      peer: expect.stringMatching(/^192\.168\.2\.10:/),
    });
    await server.stop();
  });

  it('refuses a source outside the allow-list', async () => {
    const server = await world.serve('gitbucket', target);
    expect(await world.ask('outsider', listener, { timeoutMs: 400 })).toBe('timeout');
    await server.stop();
  });

  it("leaves ufw's rules byte for byte", async () => {
    expect(await foreign()).toEqual(before);
  });

  rootOnly('carries a real ssh session and a git clone', 'sshd', async () => {
    const sshd = await Sshd.start(world.lab, 'gitbucket', { addresses: [scenario1.gitbucket], port: scenario1.sshPort });
    await expectSshAndGit(world, sshd);
  });

  it('tells how it stands', async () => {
    const forward = JSON.parse((await world.gwctl(['forward', 'get', 'gitbucket-ssh', '-o', 'json'])).stdout);
    expect(forward).toMatchObject({
      kind: 'Forward',
      metadata: { name: 'gitbucket-ssh', labels: { team: 'web' } },
      spec: { description: 'SSH to GitBucket for the lab network', owner: 'web-team', gateway: 'gw1' },
      status: { placements: [{ gateway: 'gw1', state: 'ACTIVE', driver: 'iptables-nft' }] },
    });
    expect((await world.gwctl(['forward', 'list'])).stdout).toMatch(
      /gitbucket-ssh\s+gw1\s+192\.168\.1\.10:10022\/tcp\s+192\.168\.2\.122:10022\s+ACTIVE/,
    );
  });

  it('survives a reload of ufw', async () => {
    await ufw.run('reload');
    const server = await world.serve('gitbucket', '192.168.2.122:10023');
    await world.gwctl(['forward', 'set', 'gitbucket-ssh', '--target', '192.168.2.122:10023', '--wait']);
    expect(await world.ask('client', listener)).toMatchObject({ local: '192.168.2.122:10023' });
    await server.stop();
  });

  it('is there again after a reboot without the control plane', async () => {
    const server = await world.serve('gitbucket', '192.168.2.122:10023');
    await world.control.killWithDatabase();
    await world.lab.reboot('gw1');
    await ufw.boot();
    await world.agent.start({ awaitSession: false });
    await world.reaches('client', listener);
    expect(await world.ask('client', listener)).toMatchObject({ local: '192.168.2.122:10023' });
    await world.control.start();
    await server.stop();
  });

  it('leaves nothing of ours after its deletion, and the rest byte for byte', async () => {
    await world.gwctl(['forward', 'delete', 'gitbucket-ssh', '--wait=60s']);
    expect(await world.rules.own()).toBe('');
    expect(await world.lab.snapshotRules('gw1', { without: null })).toEqual(before);
  });
});
