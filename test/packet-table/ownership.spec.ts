import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../lab/index.js';
import { dropByDefault, natAgain } from './foreign.js';
import { forward } from './forwards.js';
import { Gateway } from './gateway.js';
import { SERVERS } from './states.js';
import { IPTABLES_DRIVERS, type TableHost, topology } from './topology.js';

const VIP = '203.0.113.10';
const FORWARDS = [
  forward(`${VIP}:443/tcp`, '10.0.0.10:8443', { allow: ['198.51.100.0/24'], snat: 'none' }),
  forward('53/udp', '10.0.0.20:5353'),
  forward('8080/tcp', '10.0.0.10:80', { interface: 'dmz', snat: '10.0.0.2', onChange: 'cut' }),
];

/** What belongs to whom: ours is found without memory and put right, theirs is never touched. */
describe.each(IPTABLES_DRIVERS)('rules of ours and of others, with %s', (driver) => {
  let lab: Lab<TableHost>;
  let gateway: Gateway;

  beforeAll(async () => {
    lab = await Lab.create(topology);
    await dropByDefault(lab.host('gw'), driver);
    await lab.host('srv').serve(SERVERS.srv);
    gateway = await Gateway.on(lab.host('gw'));
    await gateway.start(driver, lab.directory('state'));
  });
  afterEach(() => gateway.cleanUp());
  afterAll(() => lab.destroy());

  const everything = () => lab.snapshotRules('gw', { without: null });
  const program = async (...args: string[]) => {
    await lab.host('gw').exec([driver, '-w', ...args]);
  };
  const reached = async () => {
    const answer = await lab.host('cli').ask({ proto: 'tcp', to: VIP, port: 443, timeoutMs: 300 });
    return typeof answer === 'string' ? answer : answer.local;
  };

  it('others are byte-identical while ours come, change and go', async () => {
    const before = await everything();
    for (const wanted of [FORWARDS, FORWARDS.slice(1), [], FORWARDS.slice(0, 1), FORWARDS]) {
      await gateway.want(wanted);
      expect(await lab.snapshotRules('gw')).toEqual(before);
    }
    await gateway.want([]);
    expect(await everything()).toEqual(before);
  });

  it('clean-up needs no memory', async () => {
    const before = await everything();
    await gateway.want(FORWARDS);
    await gateway.start(driver, lab.directory('state'));
    await gateway.cleanUp();
    expect(await everything()).toEqual(before);
  });

  it('a fresh process adopts what is there: no step, no difference', async () => {
    await gateway.want(FORWARDS);
    const before = await everything();
    await gateway.start(driver, lab.directory('state'));
    expect((await gateway.want(FORWARDS)).steps).toEqual([]);
    expect(await everything()).toEqual(before);
  });

  it('iptables is the variant that the host uses; auto prefers nftables', async () => {
    const found: string[] = [];
    for (const preference of ['iptables', 'auto'] as const)
      found.push((await gateway.start(preference, lab.directory('state'))).driver);
    await gateway.start(driver, lab.directory('state'));
    expect(found).toEqual([driver, 'nftables']);
  });

  it('takes away what an agent with the other variant left, once its own is in place', async () => {
    const [other = driver] = IPTABLES_DRIVERS.filter((d) => d !== driver);
    const theirs = await Gateway.on(lab.host('gw'));
    await theirs.start(other, lab.directory('state'));
    await theirs.want(FORWARDS);
    await theirs.stop();
    await gateway.want(FORWARDS);
    await gateway.cleanLeftovers();
    const { 'iptables-nft': nft, 'iptables-legacy': legacy } = await everything();
    expect([nft, legacy].map((text) => text.includes('GWCTL'))).toEqual([
      driver === 'iptables-nft',
      driver === 'iptables-legacy',
    ]);
    expect(await reached()).toBe('10.0.0.10:8443');
    expect((await gateway.want(FORWARDS, { fresh: true })).steps).toEqual([]);
  });

  describe('drift', () => {
    const DISPATCH = ['-t', 'nat', '-F', 'GWCTL-DISP'];
    const cases: { what: string; meddle: () => Promise<void>; undo?: () => Promise<void>; found: unknown }[] = [
      {
        what: 'our nat chain flushed',
        meddle: () => program(...DISPATCH),
        found: [{ cause: 'missing', object: 'nat/GWCTL-DISP', forwards: FORWARDS.map((f) => f.name).sort() }],
      },
      {
        what: 'a hook deleted',
        meddle: () => program('-t', 'filter', '-D', 'FORWARD', '-m', 'comment', '--comment', 'gwctl:hook', '-j', 'GWCTL-FWD'),
        found: [{ cause: 'missing', object: 'filter/FORWARD', forwards: [] }],
      },
      {
        what: 'a DROP pushed before a hook',
        meddle: () => program('-I', 'FORWARD', '1', '-p', 'tcp', '-j', 'DROP'),
        undo: () => program('-D', 'FORWARD', '-p', 'tcp', '-j', 'DROP'),
        found: [{ cause: 'shadowed', object: 'filter/FORWARD', forwards: [] }],
      },
      {
        what: 'a whole table flushed',
        meddle: () => program('-t', 'nat', '-F'),
        undo: () => natAgain(lab.host('gw'), driver),
        found: expect.arrayContaining([
          { cause: 'missing', object: 'nat/PREROUTING', forwards: [] },
          { cause: 'missing', object: 'nat/POSTROUTING', forwards: [] },
        ]),
      },
      {
        what: 'a foreign rule in a chain of ours',
        meddle: () => program('-t', 'mangle', '-I', 'GWCTL-ACL', '1', '-s', '198.51.100.0/24', '-j', 'DROP'),
        found: [{ cause: 'foreign', object: 'mangle/GWCTL-ACL', forwards: [] }],
      },
    ];
    it.each(cases)('$what: found, named and put right', async ({ meddle, undo, found }) => {
      await gateway.want(FORWARDS);
      const good = await everything();
      await meddle();
      expect(await reached()).not.toBe('10.0.0.10:8443');
      const drift = await gateway.look();
      expect(drift.map(({ cause, object, forwards }) => ({ cause, object, forwards: [...forwards].sort() }))).toEqual(found);
      await gateway.want(FORWARDS, { fresh: true });
      expect(await reached()).toBe('10.0.0.10:8443');
      expect(await gateway.look()).toEqual([]);
      await undo?.();
      expect(await everything()).toEqual(good);
    });

    it('a rule of ours edited: found with the forward concerned', async () => {
      await gateway.want(FORWARDS);
      const save = (await lab.host('gw').exec([`${driver}-save`, '-t', 'nat'])).stdout;
      const [, chain = '', rule = ''] = /^-A (GWCTL-\S+) (.*--to-destination 10\.0\.0\.10:8443)$/m.exec(save) ?? [];
      await lab.host('gw').exec([`${driver}-restore`, '--noflush'], {
        stdin: `*nat\n-D ${chain} ${rule}\n-A ${chain} ${rule.replace('10.0.0.10:8443', '10.0.0.50:9999')}\nCOMMIT\n`,
      });
      expect(await reached()).toBe('10.0.0.50:9999');
      expect(await gateway.look()).toMatchObject([{ cause: 'altered', object: `nat/${chain}`, forwards: [`${VIP}:443/tcp`] }]);
      await gateway.want(FORWARDS, { fresh: true });
      expect(await reached()).toBe('10.0.0.10:8443');
    });

    it('forwarding turned off: found and turned on again', async () => {
      await gateway.want(FORWARDS);
      await lab.host('gw').sysctl({ 'net.ipv4.ip_forward': 0 });
      expect(await gateway.look()).toMatchObject([{ cause: 'sysctl', object: 'sysctl/net.ipv4.ip_forward' }]);
      await gateway.want(FORWARDS, { fresh: true });
      expect(await reached()).toBe('10.0.0.10:8443');
      // It was off when we turned it on, so that is what it goes back to.
      await gateway.cleanUp();
      expect(await lab.host('gw').readSysctl('net.ipv4.ip_forward')).toBe('0');
      await lab.host('gw').sysctl({ 'net.ipv4.ip_forward': 1 });
    });
  });
});

describe.each(IPTABLES_DRIVERS)('a host that does not forward, with %s', (driver) => {
  let lab: Lab<TableHost>;
  let gateway: Gateway;

  beforeAll(async () => {
    lab = await Lab.create(topology);
    await lab.host('gw').sysctl({ 'net.ipv4.ip_forward': 0 });
    await lab.host('srv').serve(SERVERS.srv);
    gateway = await Gateway.on(lab.host('gw'));
    await gateway.start(driver, lab.directory('state'));
  });
  afterAll(() => lab.destroy());

  const ask = async (to: string, port: number) => {
    const answer = await lab.host('cli').ask({ proto: 'tcp', to, port, timeoutMs: 300 });
    return typeof answer === 'string' ? answer : answer.local;
  };

  it('forwards our flows and nothing else, and is as it was afterwards', async () => {
    const { conditions } = await gateway.want(FORWARDS);
    expect(conditions.IpForwarding).toBe('TURNED_ON_BY_AGENT');
    expect(await ask(VIP, 443)).toBe('10.0.0.10:8443');
    // Not an open router: this neighbour has a route to it through the gateway.
    expect(await ask('10.0.0.50', 9999)).toBe('timeout');
    expect(await gateway.look()).toEqual([]);
    // A fresh process still knows that it was us.
    await gateway.start(driver, lab.directory('state'));
    expect((await gateway.want(FORWARDS)).steps).toEqual([]);
    await gateway.want([]);
    expect(await lab.host('gw').readSysctl('net.ipv4.ip_forward')).toBe('0');
    expect(JSON.stringify(await lab.snapshotRules('gw', { without: null }))).not.toMatch(/gwctl/i);
  });

  it('is as it was after clean-up too', async () => {
    await gateway.want(FORWARDS);
    await gateway.start(driver, lab.directory('state'));
    await gateway.cleanUp();
    expect(await lab.host('gw').readSysctl('net.ipv4.ip_forward')).toBe('0');
    expect(JSON.stringify(await lab.snapshotRules('gw', { without: null }))).not.toMatch(/gwctl/i);
  });
});
