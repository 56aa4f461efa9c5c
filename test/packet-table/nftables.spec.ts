import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Ufw } from '../lab/daemons/ufw.js';
import { Lab, waitFor } from '../lab/index.js';
import { dropByDefault } from './foreign.js';
import { forward } from './forwards.js';
import { Gateway } from './gateway.js';
import { SERVERS } from './states.js';
import { type TableHost, topology } from './topology.js';

/** What is particular to nftables: the companion rule, drift of its table, drops that no rule can pass, and switching drivers. */
const VIP = '203.0.113.10';
const FORWARDS = [
  forward(`${VIP}:443/tcp`, '10.0.0.10:8443', { allow: ['198.51.100.0/24'], snat: 'none' }),
  forward('53/udp', '10.0.0.20:5353'),
  forward('8080/tcp', '10.0.0.10:80', { interface: 'dmz', snat: '10.0.0.2', onChange: 'cut' }),
];

describe.each(['iptables-nft', 'iptables-legacy'] as const)('nftables beside %s that drops', (variant) => {
  let lab: Lab<TableHost>;
  let gateway: Gateway;
  beforeAll(async () => {
    lab = await Lab.create(topology);
    await dropByDefault(lab.host('gw'), variant);
    await lab.host('srv').serve(SERVERS.srv);
    gateway = await Gateway.on(lab.host('gw'));
    await gateway.start('nftables', lab.directory('state'));
  });
  afterEach(() => gateway.cleanUp());
  afterAll(() => lab.destroy());
  const nft = (text: string) => lab.host('gw').exec(['nft', '-f', '-'], { stdin: text });
  const everything = () => lab.snapshotRules('gw', { without: null });
  const reached = async () => {
    const answer = await lab.host('cli').ask({ proto: 'tcp', to: VIP, port: 443, timeoutMs: 300 });
    return typeof answer === 'string' ? answer : answer.local;
  };
  const forwardRules = async () =>
    (await lab.host('gw').exec([`${variant}-save`, '-t', 'filter'])).stdout.split('\n').filter((l) => l.startsWith('-A FORWARD'));

  it('one companion, first, and gone with the last forward', async () => {
    const before = await everything();
    for (const wanted of [FORWARDS, FORWARDS.slice(1), [], FORWARDS.slice(0, 1), FORWARDS]) {
      await gateway.want(wanted);
      expect(await forwardRules()).toEqual([
        ...(wanted.length > 0
          ? ['-A FORWARD -m mark --mark 0x1000000/0x1000000 -m comment --comment "gwctl:companion" -j ACCEPT']
          : []),
        '-A FORWARD -j other-forward',
      ]);
    }
    expect(await reached()).toBe('10.0.0.10:8443');
    await gateway.want([]);
    expect(await everything()).toEqual(before);
  });

  const cases: [string, string | string[], unknown][] = [
    ['flush ruleset', 'delete table ip gwctl', [{ cause: 'missing', object: 'gwctl', forwards: [] }]],
    [
      'element gone',
      `delete element ip gwctl to-at { ${VIP} . tcp . 443 }`,
      [{ cause: 'missing', object: 'gwctl/to-at', forwards: [`${VIP}:443/tcp`] }],
    ],
    [
      'element altered',
      `delete element ip gwctl to-at { ${VIP} . tcp . 443 }; add element ip gwctl to-at { ${VIP} . tcp . 443 : 10.0.0.50 . 9999 }`,
      [{ cause: 'altered', object: 'gwctl/to-at', forwards: [`${VIP}:443/tcp`] }],
    ],
    [
      'allow emptied',
      'flush set ip gwctl allowed-at',
      [{ cause: 'missing', object: 'gwctl/allowed-at', forwards: [`${VIP}:443/tcp`] }],
    ],
    ['nat chain flushed', 'flush chain ip gwctl dispatch', [{ cause: 'missing', object: 'gwctl/dispatch', forwards: [] }]],
    [
      'foreign rule',
      'insert rule ip gwctl listeners ip saddr 198.51.100.0/24 drop',
      [{ cause: 'foreign', object: 'gwctl/listeners', forwards: [] }],
    ],
    [
      'foreign chain',
      'add chain ip gwctl evil { type filter hook forward priority 7; policy drop; }',
      [{ cause: 'foreign', object: 'gwctl/evil', forwards: [] }],
    ],
    ['dormant', 'add table ip gwctl { flags dormant; }', [{ cause: 'altered', object: 'gwctl', forwards: [] }]],
    ['policy', 'add chain ip gwctl fwd-mark { policy drop; }', [{ cause: 'altered', object: 'gwctl/fwd-mark', forwards: [] }]],
    ['companion', ['-F', 'FORWARD'], [{ cause: 'missing', object: `${variant} filter/FORWARD`, forwards: [] }]],
    [
      'shadowed',
      ['-I', 'FORWARD', '1', '-p', 'tcp', '-j', 'DROP'],
      [{ cause: 'shadowed', object: `${variant} filter/FORWARD`, forwards: [] }],
    ],
  ];
  it.each(cases)('drift: %s', async (name, meddle, expected) => {
    await gateway.want(FORWARDS);
    expect(await reached()).toBe('10.0.0.10:8443');
    if (typeof meddle === 'string') await nft(meddle.replaceAll('; add', '\nadd'));
    else await lab.host('gw').exec([variant, ...meddle]);
    if (name !== 'policy') expect(await reached()).not.toBe('10.0.0.10:8443');
    const found = await gateway.look();
    expect(found.map(({ cause, object, forwards }) => ({ cause, object, forwards }))).toEqual(expected);
    await gateway.want(FORWARDS, { fresh: true });
    expect(await reached()).toBe('10.0.0.10:8443');
    expect(await gateway.look()).toEqual([]);
    expect((await gateway.want(FORWARDS, { fresh: true })).steps).toEqual([]);
    if (name === 'shadowed') await lab.host('gw').exec([variant, '-D', 'FORWARD', '-p', 'tcp', '-j', 'DROP']);
    if (name === 'companion') await lab.host('gw').exec([variant, '-A', 'FORWARD', '-j', 'other-forward']);
  });

  it('hears others, not itself', async () => {
    await gateway.watch();
    await gateway.want(FORWARDS);
    await gateway.want(FORWARDS.slice(1));
    const seen: string[] = [];
    const announced = (count: number) => async () => {
      seen.push(...(await gateway.seen()));
      return seen.length >= count;
    };
    await nft('add table ip other-table\ndelete table ip other-table');
    await waitFor(announced(1), { what: 'nft' });
    expect(seen).toEqual(['nft']);
  });

  it.each([
    [0, 'meta mark and 0x1000000 == 0x1000000'],
    [10, 'ct status dnat'],
    [-20, 'ct status dnat'],
  ] as const)('native drop at %i: named, with a rule that works when pasted', async (priority, match) => {
    await gateway.want(FORWARDS);
    await nft(`add table inet fw\nadd chain inet fw guard { type filter hook forward priority ${priority}; policy drop; }`);
    expect(await reached()).toBe('timeout');
    let { conditions } = await gateway.want(FORWARDS, { fresh: true });
    expect(conditions.ForwardOpen).toBe('FORWARD_BLOCKED');
    await lab.host('gw').exec(['nft', 'insert', 'rule', 'inet', 'fw', 'guard', ...match.split(' '), 'accept']);
    expect(await reached()).toBe('10.0.0.10:8443');
    ({ conditions } = await gateway.want(FORWARDS, { fresh: true }));
    expect(conditions.ForwardOpen).toBe('COMPANION_RULE');
    await nft('delete table inet fw');
  });

  it('native chain that ends in a reject, as firewalld makes them: named, and open again once the rule is pasted', async () => {
    await gateway.want(FORWARDS);
    await nft(
      'add table inet fw\nadd chain inet fw guard { type filter hook forward priority 10; }\nadd rule inet fw guard reject',
    );
    expect(await reached()).not.toBe('10.0.0.10:8443');
    expect((await gateway.want(FORWARDS, { fresh: true })).conditions.ForwardOpen).toBe('FORWARD_BLOCKED');
    await lab.host('gw').exec(['nft', 'insert', 'rule', 'inet', 'fw', 'guard', 'ct', 'status', 'dnat', 'accept']);
    expect(await reached()).toBe('10.0.0.10:8443');
    expect((await gateway.want(FORWARDS, { fresh: true })).conditions.ForwardOpen).toBe('COMPANION_RULE');
    await nft('delete table inet fw');
  });

  it('drift of a chain of several targets, and a table of IPv6: found and put right', async () => {
    const wanted = [
      forward(`${VIP}:443/tcp`, ['10.0.0.10:8443', '10.0.0.10:80']),
      forward('[2001:db8:cafe::10]:443/tcp', '[fd00:10::10]:8443'),
    ];
    await gateway.want(wanted);
    const pool = /chain (pool\/[0-9a-f]{8})/.exec(
      (await lab.host('gw').exec(['nft', 'list', 'table', 'ip', 'gwctl'])).stdout,
    )?.[1];
    await nft(`flush chain ip gwctl ${pool}\ndelete element ip6 gwctl to-at { 2001:db8:cafe::10 . tcp . 443 }`);
    expect((await gateway.look()).map(({ cause, object, forwards }) => [cause, object, forwards])).toEqual([
      ['altered', 'gwctl/pool-chains', [wanted[0]?.name]],
      ['missing', 'ip6 gwctl/to-at', [wanted[1]?.name]],
    ]);
    await gateway.want(wanted, { fresh: true });
    expect(await gateway.look()).toEqual([]);
    expect((await gateway.want(wanted, { fresh: true })).steps).toEqual([]);
  });

  it('ICMP errors of our flows pass', async () => {
    const wanted = [forward(`${VIP}:777/udp`, '10.0.0.31:7'), forward('778/udp', '10.0.0.31:8', { snat: 'none' })];
    const theirs = await Gateway.on(lab.host('gw'));
    await theirs.start(variant, lab.directory('state'));
    const ask = async () => [
      await lab.host('cli').ask({ proto: 'udp', to: VIP, port: 777, timeoutMs: 300 }),
      await lab.host('cli').ask({ proto: 'udp', to: VIP, port: 778, timeoutMs: 300 }),
    ];
    await theirs.want(wanted);
    const before = await ask();
    await theirs.cleanUp();
    await theirs.stop();
    await gateway.want(wanted);
    expect([before, await ask()]).toEqual([
      ['refused', 'refused'],
      ['refused', 'refused'],
    ]);
  });

  it('switches from iptables and back, without losing a flow', async () => {
    const cli = lab.host('cli');
    const wanted = [forward(`${VIP}:443/tcp`, '10.0.0.10:8443'), forward(`${VIP}:443/udp`, '10.0.0.10:8443')];
    const theirs = await Gateway.on(lab.host('gw'));
    await theirs.start(variant, lab.directory('state'));
    await theirs.want(wanted);
    const probers = (['tcp', 'udp'] as const).flatMap((proto) => [
      cli.prober({ to: VIP, port: 443, proto }).start(),
      cli.prober({ to: VIP, port: 443, proto, kind: 'longFlow' }).start(),
    ]);
    await Promise.all(probers.map((p) => p.settled()));
    for (let i = 0; i < 8; i++) {
      await gateway.want(wanted, { fresh: true });
      await gateway.cleanLeftovers();
      expect(
        (await gateway.want(wanted, { fresh: true })).steps.filter((t) => !t.includes('look') && !t.includes('our rule')),
      ).toEqual([]);
      expect((await everything())[variant]).not.toContain('GWCTL');
      await theirs.start(variant, lab.directory('state'));
      await theirs.want(wanted, { fresh: true });
      await theirs.cleanLeftovers();
      expect((await everything()).nft).not.toMatch(/table ip gwctl/);
    }
    const reports = await Promise.all(probers.map((p) => p.stop()));
    expect((await everything()).nft).not.toMatch(/table ip gwctl/);
    for (const report of reports) expect.soft(report).toMatchObject({ lost: 0, refused: 0, broken: 0 });
    await theirs.cleanUp();
    await theirs.stop();
  });
});

describe('nftables beside ufw', () => {
  let lab: Lab<TableHost>;
  let gateway: Gateway;
  beforeAll(async () => {
    lab = await Lab.create(topology);
    await lab.host('srv').serve(SERVERS.srv);
    gateway = await Gateway.on(lab.host('gw'));
    await gateway.start('nftables', lab.directory('state'));
  });
  afterAll(() => lab.destroy());
  const reached = async () => {
    const answer = await lab.host('cli').ask({ proto: 'tcp', to: '203.0.113.10', port: 443, timeoutMs: 300 });
    return typeof answer === 'string' ? answer : answer.local;
  };
  it('enabled before and after, and reloaded', async () => {
    const wanted = [forward('203.0.113.10:443/tcp', '10.0.0.10:8443')];
    await gateway.want(wanted);
    expect(await reached()).toBe('10.0.0.10:8443');
    await Ufw.enable(lab, 'gw', { rules: ['allow 22/tcp'] });
    expect(await reached()).toBe('timeout');
    await gateway.want(wanted, { fresh: true });
    expect(await reached()).toBe('10.0.0.10:8443');
    await lab.host('gw').exec(['ufw', 'reload']);
    await gateway.want(wanted, { fresh: true });
    expect(await reached()).toBe('10.0.0.10:8443');
    await gateway.want([]);
    expect(JSON.stringify(await lab.snapshotRules('gw', { without: null }))).not.toMatch(/gwctl/i);
  });
});
