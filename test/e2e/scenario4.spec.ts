/** Scenario 4: many private services behind one NAT server, a database that fails over in DNS, and a way out for all of them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bind } from '../lab/daemons/bind.js';
import { Mariadb, MariadbReconnecting, MariadbSession, queryMariadb } from '../lab/daemons/mariadb.js';
import { Nginx } from '../lab/daemons/nginx.js';
import { Sshd } from '../lab/daemons/sshd.js';
import { labMode, type RulesSnapshot, type WhoServer, waitFor } from '../lab/index.js';
import { rootOnly } from '../lab/root-only.js';
import { createScenario4, type Scenario4Host, scenario4 } from '../lab/scenario4.js';
import { Deployment, type PlacementOutput } from './deployment.js';

const { apps, databases, nat, outside, publicAddress } = scenario4;
const names = ['app1', 'app2', 'app3'] as const;
type App = (typeof names)[number];
/** Of the DNS records, and the least that the gateway is told to keep an answer for. */
const ttlSeconds = 1;
/** How long a change in DNS may take to be followed: the TTL, and what asking and applying take. */
const followMs = ttlSeconds * 1000 + 3000;

let site: Deployment<Scenario4Host>;
let bind: Bind;
let nginx: Nginx;
let sshd: Sshd | undefined;
let before: RulesSnapshot;

const client = () => site.lab.host('outside');
const host = (name: Scenario4Host) => site.lab.host(name);
const serveApp = (name: App): Promise<WhoServer> => host(name).serve([{ proto: 'tcp', address: apps[name], port: 80 }]);
/** What an inside host gets from a server outside. */
const wayOut = () => nginx.get(host('web'), { to: outside, timeoutMs: 1000, allowFailure: true });
const addForward = (name: string, listen: string, target: string) =>
  site.gwctl(['forward', 'add', name, '--gateway', 'nat', '--listen', `${nat}:${listen}`, '--target', target, '--wait']);

beforeAll(async () => {
  const lab = await createScenario4('scenario4');
  try {
    const records = { db: [databases.db1], app: Object.values(apps) };
    [bind, nginx] = await Promise.all([
      Bind.start(lab, 'dns', { addresses: [scenario4.dns], records, ttl: ttlSeconds }),
      Nginx.start(lab, 'web', { addresses: [scenario4.web] }),
      Mariadb.start(lab, 'db1', { address: databases.db1 }),
      Mariadb.start(lab, 'db2', { address: databases.db2 }),
      Nginx.start(lab, 'outside', { addresses: [outside] }),
    ]);
    const control = { host: 'control', address: scenario4.control } as const;
    site = await Deployment.start({ lab, control, gateway: 'nat', driver: 'nftables' });
  } catch (error) {
    await lab.destroy();
    throw error;
  }
  before = await site.lab.snapshotRules('nat', { without: null });
  if (labMode() === 'root') sshd = await Sshd.start(lab, 'web', { addresses: [scenario4.web] });
  else await lab.host('web').serve([{ proto: 'tcp', address: scenario4.web, port: 22 }]);
}, 120_000);
afterAll(() => site?.stop());

describe('three services behind one address', () => {
  it('needs one file of commands', async () => {
    expect((await wayOut()).code).not.toBe(0);
    await site.example('4-many-services-behind-one-nat-server.sh');
    await site.gwctl(['gateway', 'set', 'nat', '--dns-min-ttl', `${ttlSeconds}s`]);
    for (const name of ['web', 'web-ssh', 'db'])
      expect(await site.placement(name)).toMatchObject({ state: 'ACTIVE', driver: 'nftables' });
  });

  it('reaches web', async () => {
    expect((await nginx.get(client(), { to: publicAddress, port: 50_001 })).stdout).toBe(`web http ${nat}\n`);
  });

  rootOnly('reaches ssh', 'sshd', async () => {
    expect((await sshd?.ssh(client(), { to: publicAddress, port: 50_002 }))?.stdout).toBe('web\n');
  });

  it('reaches a database by name', async () => {
    expect((await queryMariadb(client(), { to: publicAddress, port: 50_003 })).stdout).toBe('db1\n');
    const { targets } = await site.placement('db');
    expect(targets).toEqual([expect.objectContaining({ host: 'db.internal', address: databases.db1 })]);
  });

  it('tells what each port is for, who answers for it and when it ends', async () => {
    expect(await site.forward('web-ssh')).toMatchObject({
      metadata: { name: 'web-ssh', labels: { team: 'web' } },
      spec: {
        description: 'SSH to web for the migration',
        owner: 'web-team',
        allowSources: ['198.51.100.0/24'],
        expires: expect.any(String),
      },
    });
    const shown = (await site.gwctl(['forward', 'get', 'db'])).stdout;
    for (const said of ['Orders database', 'db-team', 'team=db', '198.51.100.0/24']) expect(shown).toContain(said);
    expect((await site.gwctl(['forward', 'list'])).stdout).toMatch(/db\s+nat\s+10\.0\.0\.155:50003\/tcp\s+db\.internal:3306/);
  });
});

describe('a database that fails over in DNS', () => {
  const to = { to: publicAddress, port: 50_003 };

  it('is followed within the TTL under load, without a failed connection; a session that is there may finish', async () => {
    const load = await MariadbReconnecting.start(client(), to);
    const session = await MariadbSession.open(client(), to);
    expect(await session.ask()).toBe('db1');
    await bind.set('db', [databases.db2]);
    await load.answeredBy('db2', { timeoutMs: followMs });
    await load.answeredBy('db2', { count: 10 });
    expect(await session.ask()).toBe('db1');
    await load.stop();
    await session.close();
    expect(load.errors).toBe('');
    // One switch, and nothing to the old address after it.
    expect(load.answers.join(' ')).toMatch(/^(db1 )+(db2 )*db2$/);
  });

  it('cuts the session where the forward says so', async () => {
    await site.gwctl(['forward', 'set', 'db', '--on-change', 'cut', '--wait']);
    const session = await MariadbSession.open(client(), to);
    expect(await session.ask()).toBe('db2');
    const load = await MariadbReconnecting.start(client(), to);
    await bind.set('db', [databases.db1]);
    await load.answeredBy('db1', { timeoutMs: followMs });
    // The new way comes first, then the old flows go.
    const lost = async () => /ERROR 20\d\d/.test(await session.ask().catch((error: unknown) => String(error)));
    await waitFor(lost, { what: 'the session is cut', timeoutMs: 2000 });
    await load.stop();
  });

  it.each([
    ['answers SERVFAIL', () => bind.servfail(true), () => bind.servfail(false)],
    ['does not answer', async () => bind.freeze(), async () => bind.thaw()],
    ['does not know the name', () => bind.set('db', []), () => bind.set('db', [databases.db1])],
    ['is not there', () => bind.stop(), () => bind.boot()],
  ] as const)('stays where it was while the resolver %s, and says so', async (_how, fail, mend) => {
    const load = await MariadbReconnecting.start(client(), to);
    await fail();
    const stale = await site.placementShows('db', (p) => p.state === 'DEGRADED', { what: 'the failing resolver is reported' });
    expect(stale.conditions?.map((c) => c.message).join(' ')).toContain('db.internal');
    await load.answeredBy('db1', { count: 5 });
    // The other forwards have nothing to do with it.
    expect((await site.placement('web')).state).toBe('ACTIVE');
    await mend();
    await site.placementShows('db', (p) => p.state === 'ACTIVE', { what: 'well again' });
    await load.stop();
    expect(load.errors).toBe('');
    expect(new Set(load.answers)).toEqual(new Set(['db1']));
  });
});

describe('an auto-scaled group behind one name', () => {
  const servers = new Map<string, WhoServer>();
  /** Who answers this many new connections in a row. */
  const answering = async (count = 40) => {
    const asked = Array.from({ length: count }, () => client().ask({ proto: 'tcp', to: publicAddress, port: 50_004 }));
    const answers = await Promise.all(asked);
    return [...new Set(answers.map((a) => (typeof a === 'string' ? a : a.local)))].sort();
  };
  const local = (...of: App[]): string[] => of.map((name) => `${apps[name]}:80`);
  /** Awaits that new connections are answered by exactly these, each of them used. */
  const answeredBy = (of: readonly App[], timeoutMs: number): Promise<true> =>
    waitFor(async () => (await answering()).join() === local(...of).join(), { what: `${of.join()} answer`, timeoutMs });

  it('uses all of its addresses', async () => {
    for (const name of names) servers.set(name, await serveApp(name));
    await addForward('app', '50004', 'app.internal:80');
    await answeredBy(names, 5000);
  });

  it('leaves out those that die, one with a refusal and one in silence, and takes them in again', async () => {
    await servers.get('app2')?.stop();
    await host('app3').exec(['iptables', '-A', 'INPUT', '-j', 'DROP']);
    await answeredBy(['app1'], 20_000);
    // From then on nobody is sent there.
    expect(await answering(100)).toEqual(local('app1'));
    const health = (p: PlacementOutput) => new Map(p.targets?.map((t) => [t.address, t.health]));
    await site.placementShows(
      'app',
      (p) => health(p).get(apps.app2) === 'unhealthy' && health(p).get(apps.app3) === 'unhealthy',
      {
        what: 'app2 and app3 are shown as unhealthy',
      },
    );
    servers.set('app2', await serveApp('app2'));
    await host('app3').exec(['iptables', '-F', 'INPUT']);
    await answeredBy(names, 20_000);
  });

  it('follows the group as it shrinks and grows', async () => {
    await bind.set('app', [apps.app3]);
    await answeredBy(['app3'], followMs);
    await bind.set('app', Object.values(apps));
    await answeredBy(names, followMs + 20_000);
  });
});

describe('the way out', () => {
  it('gives inside hosts the address of the gateway, and leaves its host no redirects to send', async () => {
    expect((await wayOut()).stdout).toBe(`outside http ${publicAddress}\n`);
    expect(await host('nat').readSysctl('net.ipv4.ip_forward')).toBe('1');
    for (const where of ['all', 'eth0']) expect(await host('nat').readSysctl(`net.ipv4.conf.${where}.send_redirects`)).toBe('0');
  });

  it('lets ICMP pass, echoes and errors', async () => {
    await host('db1').exec(['ping', '-q', '-c', '3', '-i', '0.02', '-W', '1', outside]);
    expect(await host('db1').ask({ proto: 'udp', to: outside, port: 9 })).toBe('refused');
  });

  it('does not let an inside source port 53 shadow a forwarded port 53', async () => {
    const peer = await client().serve([{ proto: 'udp', address: outside, port: 4444 }]);
    await host('app1').serve([{ proto: 'udp', address: apps.app1, port: 53 }]);
    await addForward('names', '53/udp', `${apps.app1}:53`);
    // An inside host speaks from port 53 to a peer outside ...
    const seen = await host('app2').ask({ proto: 'udp', to: outside, port: 4444, sourcePort: 53 });
    const port = Number(/:(\d+)$/.exec(typeof seen === 'string' ? '' : seen.peer)?.[1]);
    expect(seen).toMatchObject({ peer: `${publicAddress}:${port}` });
    expect(port).toBeGreaterThanOrEqual(1024);
    // ... and the peer, from the very same port, still reaches the forward.
    await peer.stop();
    const asked = await client().ask({ proto: 'udp', to: publicAddress, port: 53, sourcePort: 4444 });
    expect(asked).toMatchObject({ local: `${apps.app1}:53` });
  });

  it('leaves nothing of ours after everything is deleted', async () => {
    const { items } = JSON.parse((await site.gwctl(['forward', 'list', '-o', 'json'])).stdout) as {
      items: { metadata: { name: string } }[];
    };
    for (const { metadata } of items) await site.gwctl(['forward', 'delete', metadata.name, '--wait']);
    await site.gwctl(['egress', 'delete', 'inside', '--wait']);
    expect(await site.lab.snapshotRules('nat', { without: null })).toEqual(before);
    expect(await host('nat').readSysctl('net.ipv4.ip_forward')).toBe('0');
    for (const where of ['all', 'eth0']) expect(await host('nat').readSysctl(`net.ipv4.conf.${where}.send_redirects`)).toBe('1');
  });
});
