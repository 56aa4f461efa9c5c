import { Lab } from './lab.js';
import type { HostSpec, LabSpec } from './topology.js';

/**
 * Scenario 4: many private services behind one NAT server with a single interface, as in a cloud.
 *
 *     outside 198.51.100.20 ── router ──┬── 10.0.0.0/24:  nat .155 (eth0), dns .2, control .5
 *                                       ├── 10.0.1.0/24:  web .24, app1 .31, app2 .32, app3 .33
 *                                       └── 10.0.11.0/24: db1 .147, db2 .148
 *
 * The router owns the public address 203.0.113.10 and maps it 1:1 to 10.0.0.155, both ways; for other private addresses
 * there is no way out but the NAT server, which the router gives what the private networks send to the outside.
 */
export const scenario4 = {
  outside: '198.51.100.20',
  /** What the router maps to the NAT server; on no interface of it. */
  publicAddress: '203.0.113.10',
  nat: '10.0.0.155',
  dns: '10.0.0.2',
  control: '10.0.0.5',
  web: '10.0.1.24',
  apps: { app1: '10.0.1.31', app2: '10.0.1.32', app3: '10.0.1.33' },
  databases: { db1: '10.0.11.147', db2: '10.0.11.148' },
  inside: '10.0.0.0/16',
} as const;

export type Scenario4Host =
  | 'outside'
  | 'router'
  | 'nat'
  | 'dns'
  | 'control'
  | 'web'
  | keyof typeof scenario4.apps
  | keyof typeof scenario4.databases;

function host(segment: string, address: string, gateway: string): HostSpec {
  return { links: { eth0: { segment, addresses: [`${address}/24`] } }, routes: [`default via ${gateway}`] };
}

function specification(name: string): LabSpec & { hosts: Record<Scenario4Host, HostSpec> } {
  const { apps, databases } = scenario4;
  const web = (address: string) => host('web', address, '10.0.1.1');
  const db = (address: string) => host('db', address, '10.0.11.1');
  const nat = host('public', scenario4.nat, '10.0.0.1');
  return {
    name,
    hosts: {
      outside: {
        ...host('wan', scenario4.outside, '198.51.100.1'),
        // The internet has no way to private addresses.
        routes: ['203.0.113.0/24 via 198.51.100.1'],
      },
      router: {
        links: {
          wan0: { segment: 'wan', addresses: ['198.51.100.1/24'] },
          public0: { segment: 'public', addresses: ['10.0.0.1/24'] },
          web0: { segment: 'web', addresses: ['10.0.1.1/24'] },
          db0: { segment: 'db', addresses: ['10.0.11.1/24'] },
        },
        routes: [`default via ${scenario4.nat} table 100`],
        sysctls: { 'net.ipv4.ip_forward': 1 },
      },
      // A kernel's own defaults, which the lab's hosts otherwise do not have: it would tell hosts of a shorter way.
      nat: { ...nat, sysctls: { 'net.ipv4.conf.all.send_redirects': 1, 'net.ipv4.conf.eth0.send_redirects': 1 } },
      dns: host('public', scenario4.dns, '10.0.0.1'),
      control: host('public', scenario4.control, '10.0.0.1'),
      web: web(scenario4.web),
      app1: web(apps.app1),
      app2: web(apps.app2),
      app3: web(apps.app3),
      db1: db(databases.db1),
      db2: db(databases.db2),
    },
  };
}

/** What the router does: 1:1 NAT on wan0, and the NAT server as the way out of the private networks. */
async function configureRouter(lab: Lab<Scenario4Host>): Promise<void> {
  const router = lab.host('router');
  const { nat, publicAddress } = scenario4;
  const map = [
    `-A PREROUTING -i wan0 -d ${publicAddress} -j DNAT --to-destination ${nat}`,
    `-A POSTROUTING -o wan0 -s ${nat} -j SNAT --to-source ${publicAddress}`,
  ];
  await router.exec(['iptables-restore'], { stdin: ['*nat', ...map, 'COMMIT', ''].join('\n') });
  // What the private networks send to the outside goes to the NAT server.
  const rules = [`rule add priority 100 to ${scenario4.inside} lookup main`];
  for (const link of ['web0', 'db0']) rules.push(`rule add priority 200 iif ${link} lookup 100`);
  await router.exec(['ip', '-batch', '-'], { stdin: `${rules.join('\n')}\n` });
}

/** Builds the hosts of scenario 4, without any daemon. `control` is the operator's host as well. */
export async function createScenario4(name = 'scenario4'): Promise<Lab<Scenario4Host>> {
  const lab = await Lab.create(specification(name));
  try {
    await configureRouter(lab);
  } catch (error) {
    await lab.destroy();
    throw error;
  }
  return lab;
}
