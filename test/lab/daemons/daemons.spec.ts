import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lab } from '../lab.js';
import { rootOnly } from '../root-only.js';
import { createScenario1, type Scenario1Host, scenario1 } from '../scenario1.js';
import { Sshd } from './sshd.js';
import { Ufw } from './ufw.js';

describe('scenario 1 by hand', () => {
  let lab: Lab<Scenario1Host>;

  beforeAll(async () => {
    lab = await createScenario1('daemons');
  });
  afterAll(() => lab.destroy());

  it('has targets whose replies to the client do not pass the gateway', async () => {
    const { stdout } = await lab.host('gitbucket').exec(['ip', 'route', 'get', scenario1.client]);
    expect(stdout).toContain('via 192.168.2.1 ');
    await lab.host('gw1').sysctl({ 'net.ipv4.ip_forward': 1 });
    await lab.host('gitbucket').serve([{ proto: 'tcp', address: scenario1.gitbucket, port: 80 }]);
    const dnat = ['PREROUTING', '-p', 'tcp', '--dport', '80', '-j', 'DNAT', '--to', `${scenario1.gitbucket}:80`];
    const question = { proto: 'tcp', to: scenario1.gateway, port: 80, timeoutMs: 300 } as const;
    await lab.host('gw1').exec(['iptables', '-t', 'nat', '-A', ...dnat]);
    expect(await lab.host('client').ask(question)).toBe('timeout');
    await lab.host('gw1').exec(['iptables', '-t', 'nat', '-A', 'POSTROUTING', '-o', 'enp2s0', '-j', 'MASQUERADE']);
    const answer = { local: `${scenario1.gitbucket}:80`, peer: expect.stringContaining(`${scenario1.gatewayInside}:`) };
    expect(await lab.host('client').ask(question)).toEqual(answer);
    expect(await lab.host('client').ask({ ...question, from: scenario1.client2 })).toEqual(answer);
    expect(await lab.host('outsider').ask(question)).toEqual(answer);
    await lab.reboot('gw1');
  });

  it('runs real ufw on the gateway alone, with forward DROP, and again after a reboot', async () => {
    const machine = existsSync('/etc/default/ufw') ? readFileSync('/etc/default/ufw', 'utf8') : '';
    await lab.host('gw1').sysctl({ 'net.ipv4.ip_forward': 1 });
    const ufw = await Ufw.enable(lab, 'gw1', { rules: ['allow 22/tcp'] });
    const gw1 = lab.host('gw1');
    await gw1.serve([22, 23].map((port) => ({ proto: 'tcp', address: scenario1.gateway, port })));
    const status = async () => (await ufw.run('status verbose')).stdout;
    expect(await status()).toContain('Default: deny (incoming), allow (outgoing), deny (routed)');
    expect(await lab.host('client').ask({ proto: 'tcp', to: scenario1.gateway, port: 22 })).toMatchObject({});
    expect(await lab.host('client').ask({ proto: 'tcp', to: scenario1.gateway, port: 23, timeoutMs: 200 })).toBe('timeout');
    const rules = await lab.snapshotRules('gw1');
    expect(rules['iptables-nft']).toContain(':FORWARD DROP');
    await lab.reboot('gw1');
    expect(await lab.snapshotRules('gw1')).not.toEqual(rules);
    await ufw.boot();
    expect(await lab.snapshotRules('gw1')).toEqual(rules);
    expect(readFileSync('/etc/default/ufw', 'utf8')).toBe(machine);
    expect(await lab.snapshotRules('client')).toEqual(await lab.snapshotRules('router'));
    await ufw.run('disable');
  });

  rootOnly('serves ssh and git with a real sshd, and the client checks its host key', 'sshd', async () => {
    const sshd = await Sshd.start(lab, 'gitbucket', { addresses: [scenario1.gitbucket], port: scenario1.sshPort });
    const target = { to: scenario1.gitbucket, port: scenario1.sshPort };
    const client = lab.host('client');
    expect((await sshd.ssh(client, { ...target, command: 'echo $USER on $(hostname)' })).stdout).toBe('git on gitbucket\n');
    await sshd.addRepository('demo', { 'README.md': 'hello\n' });
    const into = join(lab.path, 'clone');
    expect(await sshd.gitClone(client, { ...target, repository: 'demo', into })).toMatch(/^[0-9a-f]{40}$/);
    expect(readFileSync(join(into, 'README.md'), 'utf8')).toBe('hello\n');
    const refused = await sshd.ssh(client, { ...target, port: 10023, allowFailure: true });
    expect(refused).toMatchObject({ code: 255, stderr: expect.stringContaining('Connection refused') });
    await lab.reboot('gitbucket');
    await sshd.boot();
    expect((await sshd.ssh(client, target)).stdout).toBe('gitbucket\n');
  });
});
