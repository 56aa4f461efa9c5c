/** Scenario 4 with the rules that somebody would write by hand: shows that hosts and programs are right. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lab } from '../lab.js';
import { createScenario4, type Scenario4Host, scenario4 } from '../scenario4.js';
import { Bind, dig } from './bind.js';
import { Mariadb, MariadbReconnecting } from './mariadb.js';

describe('scenario 4 by hand', () => {
  let lab: Lab<Scenario4Host>;
  const { databases, nat, outside, publicAddress } = scenario4;

  beforeAll(async () => {
    lab = await createScenario4('hand4');
  });
  afterAll(() => lab?.destroy());

  it('has no way in but the NAT server, and no way out but through it', async () => {
    await lab.host('nat').serve([{ proto: 'tcp', address: nat, port: 7 }]);
    await lab.host('outside').serve([{ proto: 'tcp', address: outside, port: 7 }]);
    const asked = await lab.host('outside').ask({ proto: 'tcp', to: publicAddress, port: 7 });
    expect(asked).toEqual({ local: `${nat}:7`, peer: expect.stringMatching(/^198\.51\.100\.20:/) });
    const out = () => lab.host('web').ask({ proto: 'tcp', to: outside, port: 7, timeoutMs: 300 });
    expect(await out()).toBe('timeout');
    await lab.host('nat').sysctl({ 'net.ipv4.ip_forward': 1 });
    expect(await out()).toBe('timeout');
    await lab.host('nat').exec(['iptables', '-t', 'nat', '-A', 'POSTROUTING', '-o', 'eth0', '-j', 'MASQUERADE']);
    expect(await out()).toEqual({ local: `${outside}:7`, peer: expect.stringMatching(/^203\.0\.113\.10:/) });
  });

  it('moves a database under load by what DNS says', async () => {
    const addresses = [databases.db1];
    const bind = await Bind.start(lab, 'dns', { addresses: [scenario4.dns], records: { db: addresses } });
    for (const name of ['db1', 'db2'] as const) await Mariadb.start(lab, name, { address: databases[name] });
    const follow = async () => {
      const { data } = await dig(lab.host('nat'), { to: scenario4.dns, name: 'db.internal' });
      const rule = ['PREROUTING', '-p', 'tcp', '--dport', '50003', '-j', 'DNAT', '--to', `${data[0]}:3306`];
      await lab.host('nat').exec(['iptables', '-t', 'nat', '-I', ...rule]);
    };
    await follow();
    const client = await MariadbReconnecting.start(lab.host('outside'), { to: publicAddress, port: 50_003 });
    await client.answeredBy('db1', { count: 3 });
    await bind.set('db', [databases.db2]);
    await follow();
    await client.answeredBy('db2', { count: 3 });
    await client.stop();
    expect(client.answers.filter((who) => who === 'FAILED')).toEqual([]);
  });
});
