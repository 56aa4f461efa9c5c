import { AppError } from '@gwctl/shared/errors/app-error';
import { beforeEach, describe, expect, it } from 'vitest';
import type { PlacedForward, ProtectedListener } from '../../planner/types.js';
import { MemoryFlows } from '../../system/conntrack.fake.js';
import type { Flow } from '../../system/conntrack.js';
import { IpForwarding } from '../../system/ip-forwarding.js';
import { MemorySysctl, MemorySysctlRecord } from '../../system/sysctl.fake.js';
import { ip, placed } from '../../testing/placed.js';
import { IptablesDriver } from './driver.js';
import { CHAINS, MARK_BIT } from './layout.js';
import { FakeTables } from './tables.fake.js';

const SSH: ProtectedListener = { kind: 'ssh', protocol: 'tcp', port: 22, reason: 'the sshd of this gateway' };
const uid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const key = placed().key;

let tables: FakeTables;
let flows: MemoryFlows;
let sysctl: MemorySysctl;
let record: MemorySysctlRecord;
let driver: IptablesDriver;
let clock: number;

beforeEach(() => {
  clock = 1000;
  tables = new FakeTables();
  flows = new MemoryFlows();
  sysctl = new MemorySysctl();
  record = new MemorySysctlRecord();
  driver = new IptablesDriver({
    tables: { 4: tables },
    flows,
    forwarding: new IpForwarding({ sysctl, record }),
    underWay: async () => undefined,
    now: () => clock,
  });
});

async function reconcile(forwards: readonly PlacedForward[], guarded: readonly ProtectedListener[] = [SSH]) {
  const rendered = driver.render({ forwards, egresses: [], announced: [], relayed: [], protected: guarded });
  const plan = driver.diff(rendered, driver.mirror() ?? (await driver.observe()));
  await driver.apply(plan);
  return { rendered, plan };
}

const established = (over: Partial<Flow> = {}): Flow => ({
  protocol: 'tcp',
  state: 'ESTABLISHED',
  original: { source: '198.51.100.2', destination: '203.0.113.10', sourcePort: 40000, destinationPort: 443 },
  reply: { source: '10.0.0.10', destination: '10.0.0.1', sourcePort: 8443, destinationPort: 40000 },
  mark: MARK_BIT,
  ...over,
});

describe('apply', () => {
  it('writes filter before nat on the way in, nat before filter on the way out, and leaves nothing', async () => {
    await reconcile([placed({ allow: ['198.51.100.0/26'] })]);
    expect(tables.committed.map((b) => b.table)).toEqual(['mangle', 'filter', 'nat']);
    tables.committed.length = 0;
    await reconcile([]);
    expect(tables.committed.map((b) => b.table)).toEqual(['nat', 'filter', 'mangle']);
    for (const table of ['mangle', 'filter', 'nat'] as const) expect(tables.rules(table)).toEqual([]);
  });

  it('adds a second forward without touching the first', async () => {
    await reconcile([placed()]);
    tables.committed.length = 0;
    await reconcile([placed(), placed({ uid: uid(2), port: 444 })]);
    const lines = tables.committed.flatMap((b) => b.lines);
    expect(tables.committed.map((b) => b.table)).toEqual(['mangle', 'filter', 'nat']);
    expect(lines.filter((l) => l.includes(key))).toEqual([]);
  });

  it('does nothing, and asks nobody, when nothing changed', async () => {
    await reconcile([placed()]);
    const { calls } = tables;
    expect((await reconcile([placed()])).plan.steps).toEqual([]);
    expect(tables.calls).toBe(calls);
  });

  it('leaves no mirror after a failure, and converges from the half that was written', async () => {
    tables.failOnce('nat', new AppError({ code: 'UNAVAILABLE', reason: 'TABLES_BUSY', message: 'busy' }));
    await expect(reconcile([placed({ allow: ['10.9.0.0/16'] })])).rejects.toMatchObject({ reason: 'TABLES_BUSY' });
    expect(driver.mirror()).toBeUndefined();
    expect(tables.rules('nat')).toEqual([]);
    await reconcile([placed({ allow: ['10.9.0.0/16'] })]);
    expect(tables.rules('nat').length).toBeGreaterThan(0);
  });

  it('says so when the rules do not read back as written', async () => {
    const rendered = driver.render({ forwards: [placed()], egresses: [], announced: [], relayed: [], protected: [] });
    const plan = driver.diff(rendered, await driver.observe());
    const write = tables.write.bind(tables);
    tables.write = async (batches) => {
      await write(batches);
      return write([{ table: 'nat', lines: [`-F ${CHAINS.dispatch}`] }]);
    };
    await expect(driver.apply(plan)).rejects.toMatchObject({ reason: 'NOT_AS_WRITTEN' });
    expect(driver.mirror()).toBeUndefined();
  });

  it('lets nobody of a wider allow-list onto the old target while the way changes', async () => {
    await reconcile([placed({ allow: ['10.1.0.0/16', '10.2.0.0/16'] })]);
    tables.committed.length = 0;
    await reconcile([placed({ allow: ['10.2.0.0/16', '10.3.0.0/16'], target: '10.0.0.99' })]);
    expect(tables.committed.map((b) => b.table)).toEqual(['mangle', 'nat', 'mangle']);
    const [before, , after] = tables.committed.map((b) =>
      b.lines.filter((l) => l.includes(':allow"')).map((l) => l.split(' ')[3]),
    );
    expect([before, after]).toEqual([['10.2.0.0/16'], ['10.2.0.0/16', '10.3.0.0/16']]);
  });

  it('keeps protected listeners before the forwards that could take them', async () => {
    await reconcile([placed(), placed({ uid: uid(2), port: 444 })]);
    await reconcile(
      [placed()],
      [SSH, { kind: 'control', protocol: 'tcp', address: ip('192.0.2.1'), port: 7443, reason: 'control' }],
    );
    const dispatch = tables.rules('nat').filter((r) => r.startsWith(`${CHAINS.dispatch} `));
    expect(dispatch.map((r) => /gwctl:([a-z]+)/.exec(r)?.[1])).toEqual(['protected', 'listeners', 'protected']);
  });
});

describe('render', () => {
  it('leaves what is protected of IPv6 to the driver of IPv6', () => {
    const control = { kind: 'control', protocol: 'tcp', address: ip('2001:db8::7'), port: 7443, reason: 'control' } as const;
    const rules = driver
      .render({ forwards: [placed()], egresses: [], announced: [], relayed: [], protected: [control, SSH] })
      .families[4].tables.nat.chains.get(CHAINS.dispatch)?.rules;
    expect(rules).toEqual([expect.stringContaining(`-j ${CHAINS.dnat}`), expect.stringContaining('--dport 22 ')]);
  });

  it('is one golden text for every kind of rule', () => {
    const { tables: rendered } = driver.render({
      forwards: [
        placed({ allow: ['10.9.0.0/16', '0.0.0.0/0'], snat: 'none', hairpin: ['10.0.0.0/24'], onChange: 'cut' }),
        placed({ uid: uid(2), protocol: 'udp', address: null, interface: 'wan', port: 53, snat: '10.0.0.2' }),
      ],
      egresses: [],
      announced: [],
      relayed: [],
      protected: [SSH],
    }).families[4];
    const text = (['mangle', 'filter', 'nat'] as const).flatMap((table) => [
      `*${table}`,
      ...rendered[table].hooks.map((h) => `-I ${h.chain} 1 ${h.rule}`),
      ...[...rendered[table].chains]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .flatMap(([name, { rules }]) => rules.map((r) => `-A ${name} ${r}`)),
    ]);
    expect(`${text.join('\n')}\n`).toMatchInlineSnapshot(`
      "*mangle
      -I PREROUTING 1 -p tcp -m conntrack --ctstate INVALID -m comment --comment "gwctl:hook" -j GWCTL-INV
      -I PREROUTING 1 -m conntrack --ctstate NEW -m comment --comment "gwctl:hook" -j GWCTL-ACL
      -I OUTPUT 1 -p tcp -m conntrack --ctstate INVALID -m comment --comment "gwctl:hook" -j GWCTL-INV
      -I OUTPUT 1 -m conntrack --ctstate NEW -m comment --comment "gwctl:hook" -j GWCTL-ACL
      -I PREROUTING 1 -p tcp -m conntrack --ctstate INVALID -m addrtype --dst-type LOCAL -m comment --comment "gwctl:hook" -j GWCTL-ANS
      -A GWCTL-A-11e594f4 -s 10.9.0.0/16 -m comment --comment "gwctl:11e594f4:allow" -j RETURN
      -A GWCTL-A-11e594f4 -m comment --comment "gwctl:11e594f4:allow" -j RETURN
      -A GWCTL-A-11e594f4 -m addrtype --src-type LOCAL -m comment --comment "gwctl:11e594f4:self" -j RETURN
      -A GWCTL-A-11e594f4 -m comment --comment "gwctl:11e594f4:deny" -j DROP
      -A GWCTL-ACL -d 203.0.113.10/32 -p tcp -m tcp --dport 443 -m comment --comment "gwctl:11e594f4:acl" -j GWCTL-A-11e594f4
      -A GWCTL-ANS -s 10.0.0.10/32 -p tcp -m tcp --sport 8443 -m comment --comment "gwctl:answer" -j DROP
      -A GWCTL-INV -d 203.0.113.10/32 -p tcp -m tcp --dport 443 -m comment --comment "gwctl:11e594f4:invalid" -j DROP
      *filter
      -I FORWARD 1 -m comment --comment "gwctl:hook" -j GWCTL-FWD
      -A GWCTL-CNT -m conntrack --ctproto 17 --ctorigdstport 53 -m comment --comment "gwctl:e79acd97:count" -j ACCEPT
      -A GWCTL-CNT -m conntrack --ctproto 6 --ctorigdst 203.0.113.10 --ctorigdstport 443 -m comment --comment "gwctl:11e594f4:count" -j ACCEPT
      -A GWCTL-FWD -m connmark --mark 0x1000000/0x1000000 -m comment --comment "gwctl:fwd:ours" -j GWCTL-OURS
      -A GWCTL-OURS -m conntrack --ctstate DNAT -m comment --comment "gwctl:fwd:count" -j GWCTL-CNT
      -A GWCTL-OURS -m comment --comment "gwctl:fwd:accept" -j ACCEPT
      *nat
      -I PREROUTING 1 -m comment --comment "gwctl:hook" -j GWCTL-DISP
      -I OUTPUT 1 ! -d 127.0.0.0/8 -m comment --comment "gwctl:hook" -j GWCTL-DISP
      -I POSTROUTING 1 -m comment --comment "gwctl:hook" -j GWCTL-POST
      -A GWCTL-ANY -i wan -p udp -m udp --dport 53 -m addrtype --dst-type LOCAL -m comment --comment "gwctl:e79acd97:mark:drain" -j CONNMARK --set-xmark 0x1000000/0x1000000
      -A GWCTL-ANY -i wan -p udp -m udp --dport 53 -m addrtype --dst-type LOCAL -m comment --comment "gwctl:e79acd97:dnat" -j DNAT --to-destination 10.0.0.10:8443
      -A GWCTL-DISP -m comment --comment "gwctl:listeners" -j GWCTL-DNAT
      -A GWCTL-DISP -p tcp -m tcp --dport 22 -m addrtype --dst-type LOCAL -m comment --comment "gwctl:protected:ssh" -j RETURN
      -A GWCTL-DISP -m comment --comment "gwctl:listeners" -j GWCTL-ANY
      -A GWCTL-DNAT -d 203.0.113.10/32 -p tcp -m tcp --dport 443 -m comment --comment "gwctl:11e594f4:mark:cut" -j CONNMARK --set-xmark 0x1000000/0x1000000
      -A GWCTL-DNAT -d 203.0.113.10/32 -p tcp -m tcp --dport 443 -m comment --comment "gwctl:11e594f4:dnat" -j DNAT --to-destination 10.0.0.10:8443
      -A GWCTL-POST -m conntrack --ctstate DNAT -m connmark --mark 0x1000000/0x1000000 -m comment --comment "gwctl:post:ours" -g GWCTL-SNAT
      -A GWCTL-SNAT -m conntrack --ctproto 17 --ctorigdstport 53 -m comment --comment "gwctl:e79acd97:snat" -j SNAT --to-source 10.0.0.2 --random-fully
      -A GWCTL-SNAT -s 10.0.0.0/24 -d 10.0.0.10/32 -m conntrack --ctproto 6 --ctorigdst 203.0.113.10 --ctorigdstport 443 -m comment --comment "gwctl:11e594f4:hairpin" -j MASQUERADE --random-fully
      -A GWCTL-SNAT -m conntrack --ctproto 6 --ctorigdst 203.0.113.10 --ctorigdstport 443 -m addrtype --src-type LOCAL -m comment --comment "gwctl:11e594f4:self" -j MASQUERADE --random-fully
      -A GWCTL-SNAT -m conntrack --ctproto 6 --ctorigdst 203.0.113.10 --ctorigdstport 443 -m comment --comment "gwctl:11e594f4:kept" -j RETURN
      -A GWCTL-SNAT -m comment --comment "gwctl:post:masquerade" -j MASQUERADE --random-fully
      "
    `);
  });
});

describe('forwarding', () => {
  it('is turned on after the rules that close it to others, and back when the last forward goes', async () => {
    sysctl.values.set('net.ipv4.ip_forward', '0');
    const { plan } = await reconcile([placed()]);
    expect(plan.steps.slice(-3).map((s) => s.kind)).toEqual(['rules', 'verify', 'ip-forward']);
    expect(tables.rules('filter')).toContain(`${CHAINS.forward} -m comment --comment "gwctl:fwd:closed" -j DROP`);
    expect(sysctl.values.get('net.ipv4.ip_forward')).toBe('1');
    expect(driver.conditions(driver.mirror() ?? (await driver.observe()))[0]).toMatchObject({ reason: 'TURNED_ON_BY_AGENT' });
    await reconcile([]);
    expect(sysctl.values.get('net.ipv4.ip_forward')).toBe('0');
    expect(tables.rules('filter')).toEqual([]);
  });

  it('is left alone, and open to others, where the host forwards already', async () => {
    await reconcile([placed()]);
    expect(tables.rules('filter').some((r) => r.includes('closed'))).toBe(false);
    await reconcile([]);
    expect(sysctl.values.get('net.ipv4.ip_forward')).toBe('1');
  });

  it('turned off by somebody is drift, and repaired', async () => {
    const { rendered } = await reconcile([placed()]);
    sysctl.values.set('net.ipv4.ip_forward', '0');
    const found = driver.drift(rendered, await driver.observe());
    expect(found.map((f) => [f.drift.cause, f.drift.object])).toEqual([['sysctl', 'sysctl/net.ipv4.ip_forward']]);
    await reconcile([placed()]);
    expect(sysctl.values.get('net.ipv4.ip_forward')).toBe('1');
  });
});

describe('the last forward', () => {
  it('leaves the acceptance while drained flows live, then takes it away', async () => {
    await reconcile([placed()]);
    flows.flows = [established()];
    await reconcile([]);
    expect(new Set(tables.rules('filter').map((r) => r.split(' ')[0]))).toEqual(
      new Set(['FORWARD', CHAINS.forward, CHAINS.ours, CHAINS.count]),
    );
    expect([...tables.rules('nat'), ...tables.rules('mangle')]).toEqual([]);
    const { rendered } = await reconcile([]);
    expect(driver.drift(rendered, await driver.observe())).toEqual([]);
    expect((await reconcile([])).plan.steps).toEqual([]);
    flows.flows = [established({ state: 'TIME_WAIT' })];
    clock += 10_000;
    await reconcile([]);
    expect(tables.rules('filter')).toEqual([]);
    expect((await reconcile([])).plan.steps).toEqual([]);
  });

  it('takes the acceptance with it where its flows are cut', async () => {
    await reconcile([placed({ onChange: 'cut' })]);
    flows.flows = [established()];
    await reconcile([]);
    expect(flows.flows).toEqual([]);
    expect(tables.rules('filter')).toEqual([]);
  });
});

describe('flows', () => {
  const listener = { protocol: 'udp', address: '203.0.113.10', port: 443 };
  const target = { address: '10.0.0.10', port: 8443 };
  const way = { ...listener, to: target };
  const udp = { protocol: 'udp' } as const;
  const cases: [string, PlacedForward | undefined, PlacedForward | undefined, unknown[]][] = [
    ['tcp added', undefined, placed(), []],
    ['udp added: what was there and goes elsewhere', undefined, placed(udp), [{ ...listener, notTo: target }]],
    ['tcp target changed, drain', placed(), placed({ target: '10.0.0.20' }), []],
    ['tcp target changed, cut', placed(), placed({ target: '10.0.0.20', onChange: 'cut' }), [{ ...way, protocol: 'tcp' }]],
    ['udp target changed, drain: UDP moves', placed(udp), placed({ ...udp, target: '10.0.0.20' }), [way]],
    ['udp target changed, keep', placed(udp), placed({ ...udp, target: '10.0.0.20', onChange: 'keep' }), []],
    ['tcp removed, drain', placed(), undefined, []],
    ['tcp removed, cut', placed({ onChange: 'cut' }), undefined, [{ ...way, protocol: 'tcp' }]],
    ['udp removed, drain', placed(udp), undefined, [way]],
    ['udp removed, keep', placed({ ...udp, onChange: 'keep' }), undefined, []],
    ['udp listener changed', placed(udp), placed({ ...udp, port: 444 }), [way, { ...listener, port: 444, notTo: target }]],
    [
      'allow-list tightened, even with keep',
      placed({ onChange: 'keep' }),
      placed({ onChange: 'keep', allow: ['10.9.0.0/16'] }),
      [{ ...way, protocol: 'tcp', sourcesOutside: ['10.9.0.0/16'] }],
    ],
    ['allow-list widened', placed({ allow: ['10.9.0.0/16'] }), placed({ allow: ['10.0.0.0/8'] }), []],
    ['source address changed, drain', placed(), placed({ snat: 'none' }), []],
    ['source address changed, cut', placed(), placed({ snat: 'none', onChange: 'cut' }), [{ ...way, protocol: 'tcp' }]],
    ['nothing changed', placed({ onChange: 'cut', snat: '10.0.0.1' }), placed({ onChange: 'cut', snat: '10.0.0.1' }), []],
  ];
  it.each(cases)('%s', async (_, before, after, expected) => {
    await reconcile(before ? [before, placed({ uid: uid(9), port: 9 })] : [placed({ uid: uid(9), port: 9 })]);
    flows.asked.length = 0;
    await reconcile(after ? [after, placed({ uid: uid(9), port: 9 })] : [placed({ uid: uid(9), port: 9 })]);
    expect(flows.asked).toEqual(expected);
  });

  it('that cannot be removed are a condition, not a failure', async () => {
    flows.failure = new AppError({ code: 'FAILED_PRECONDITION', reason: 'PROGRAM_MISSING', message: 'install conntrack' });
    await reconcile([placed({ protocol: 'udp' })]);
    const mirror = driver.mirror();
    expect(mirror && driver.conditions(mirror)[1]).toMatchObject({
      type: 'FlowCleanUp',
      status: 'false',
      message: expect.stringContaining('install conntrack'),
    });
  });
});

describe('drift', () => {
  const two = [placed({ allow: ['10.9.0.0/16'] }), placed({ uid: uid(2), port: 444 })];
  const cases: [string, () => void, [string, string, number][]][] = [
    ['the listeners flushed', () => tables.meddle('nat', [`-F ${CHAINS.dnat}`]), [['missing', `nat/${CHAINS.dnat}`, 2]]],
    ['the dispatch flushed', () => tables.meddle('nat', [`-F ${CHAINS.dispatch}`]), [['missing', 'nat/GWCTL-DISP', 2]]],
    ['a hook deleted', () => tables.meddle('filter', ['-F FORWARD']), [['missing', 'filter/FORWARD', 0]]],
    [
      'a rule edited',
      () =>
        tables.meddle('nat', [
          `:${CHAINS.dnat} - [0:0]`,
          ...tables
            .rules('nat')
            .filter((r) => r.startsWith(CHAINS.dnat))
            .map((r) => `-A ${r.includes(key) ? r.replace('10.0.0.10', '10.0.0.66') : r}`),
        ]),
      [['altered', `nat/${CHAINS.dnat}`, 1]],
    ],
    [
      'a foreign rule in our chain',
      () => tables.meddle('nat', [`-I ${CHAINS.dispatch} 1 -p tcp -j RETURN`]),
      [['foreign', 'nat/GWCTL-DISP', 0]],
    ],
    [
      'a DROP pushed before our hook',
      () => tables.meddle('filter', ['-I FORWARD 1 -p tcp -j DROP']),
      [['shadowed', 'filter/FORWARD', 0]],
    ],
    [
      'a chain that drops before our hook',
      () => tables.meddle('filter', [':other - [0:0]', '-A other -j REJECT', '-I FORWARD 1 -j other']),
      [['shadowed', 'filter/FORWARD', 0]],
    ],
    [
      'a harmless chain before our hook',
      () => tables.meddle('filter', [':other - [0:0]', '-A other -j RETURN', '-I FORWARD 1 -j other']),
      [],
    ],
    [
      'a foreign rule whose comment speaks of us',
      () => tables.meddle('filter', ['-A FORWARD -m comment --comment "not \\" -j GWCTL-FWD" -j ACCEPT']),
      [],
    ],
    [
      'our hook twice',
      () => tables.meddle('filter', ['-I FORWARD 1 -m comment --comment "gwctl:hook" -j GWCTL-FWD']),
      [['foreign', 'filter/FORWARD', 0]],
    ],
  ];
  it.each(cases)('%s', async (_, meddle, expected) => {
    const { rendered } = await reconcile(two);
    meddle();
    const found = driver.drift(rendered, await driver.observe());
    expect(found.map((f) => [f.drift.cause, f.drift.object, f.forwards.length])).toEqual(expected);
    const foreign = tables.rules('filter').filter((r) => !r.includes('gwctl:'));
    await reconcile(two);
    expect(driver.drift(rendered, await driver.observe())).toEqual([]);
    expect(tables.rules('filter').filter((r) => !r.includes('gwctl:'))).toEqual(foreign);
  });

  it('names what was found', async () => {
    const { rendered } = await reconcile(two);
    tables.meddle('filter', ['-I FORWARD 1 -p tcp -j DROP']);
    const [found] = driver.drift(rendered, await driver.observe());
    expect(found?.drift).toEqual({
      cause: 'shadowed',
      object: 'filter/FORWARD',
      message: 'a rule before our jump takes the traffic: -p tcp -j DROP',
      detected: 1000,
    });
  });
});

describe('clean-up', () => {
  it('needs no memory and leaves foreign rules', async () => {
    tables.meddle('filter', ['-A FORWARD -p icmp -j ACCEPT']);
    await reconcile([placed({ allow: ['10.9.0.0/16'] })]);
    tables.meddle('nat', [':GWCTL-F-0badc0de - [0:0]', ':other - [0:0]', '-A other -j GWCTL-F-0badc0de']);
    const fresh = new IptablesDriver({
      tables: { 4: tables },
      flows,
      forwarding: new IpForwarding({ sysctl, record }),
      underWay: async () => undefined,
      now: () => 1,
    });
    flows.flows = [established()];
    await fresh.cleanUp();
    expect(['mangle', 'filter', 'nat'].flatMap((t) => tables.rules(t as 'nat'))).toEqual(['FORWARD -p icmp -j ACCEPT']);
  });
});
