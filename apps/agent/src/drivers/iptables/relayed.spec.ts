import { beforeEach, describe, expect, it } from 'vitest';
import type { HostDesired } from '../../planner/types.js';
import { MemoryFlows } from '../../system/conntrack.fake.js';
import { IpForwarding } from '../../system/ip-forwarding.js';
import { MemorySysctl, MemorySysctlRecord } from '../../system/sysctl.fake.js';
import { placed } from '../../testing/placed.js';
import { relayed } from '../../testing/relayed.js';
import { IptablesDriver } from './driver.js';
import { MARK_BIT } from './layout.js';
import { COMPANIONS, otherForward } from './other-filters.js';
import type { ForeignFilters } from './other-filters-reader.js';
import { FakeTables } from './tables.fake.js';
import { desired, uidOf } from './testing.js';

const one = relayed();
const key = one.key;

let tables: FakeTables;
let tables6: FakeTables;
let other: FakeTables;
let flows: MemoryFlows;
let sysctl: MemorySysctl;
/** The chains in which rules of ours stood each time that packets under way were waited for. */
let passed: { readonly nat: readonly string[]; readonly filter: readonly string[]; readonly mangle: readonly string[] }[];
let driver: IptablesDriver;

function fresh(underWay?: () => Promise<void>): IptablesDriver {
  const record = new MemorySysctlRecord();
  const filters: ForeignFilters = {
    read: async () => {
      const filter = (await other.read(['filter'])).get('filter') ?? new Map();
      const [forward, input] = [otherForward(filter), otherForward(filter, 'INPUT')];
      return {
        program: 'iptables-legacy',
        forward: forward ? { 4: forward } : {},
        native: [],
        input: { forward: input ? { 4: input } : {}, native: [{ table: 'inet fw', chain: 'in', priority: 0 }] },
      };
    },
    place: async ({ lines }) => void (await other.write([{ table: 'filter', lines }])),
  };
  return new IptablesDriver({
    tables: { 4: tables, 6: tables6 },
    flows,
    forwarding: new IpForwarding({ sysctl, record }),
    forwarding6: new IpForwarding({ sysctl, record, family: 6 }),
    filters,
    underWay:
      underWay ?? (async () => void passed.push({ nat: chains('nat'), filter: chains('filter'), mangle: chains('mangle') })),
    now: () => 1_000,
  });
}

const chains = (table: 'nat' | 'filter' | 'mangle') => [...new Set(tables.rules(table).map((r) => r.split(' ')[0] ?? ''))];

beforeEach(() => {
  passed = [];
  tables = new FakeTables();
  tables6 = new FakeTables({ family: 6 });
  other = new FakeTables({ variant: 'legacy' });
  flows = new MemoryFlows();
  sysctl = new MemorySysctl({ 'net.ipv4.ip_forward': '0', 'net.ipv6.conf.all.forwarding': '0' });
  driver = fresh();
});

async function reconcile(wanted: Partial<HostDesired>, by = driver) {
  const rendered = by.render({ ...desired([]), ...wanted });
  const plan = by.diff(rendered, by.mirror() ?? (await by.observe()));
  await by.apply(plan);
  return { rendered, plan };
}
const HOOKS = [
  'INPUT -m conntrack --ctstate INVALID,NEW,ESTABLISHED -m comment --comment "gwctl:hook" -j GWCTL-RLY',
  'INPUT -m comment --comment "gwctl:hook" -j GWCTL-IN',
];
const ACCEPT = 'GWCTL-IN -m mark --mark 0x1000000/0x1000000 -m comment --comment "gwctl:in:accept" -j ACCEPT';
const mark = (k: string) => `-m comment --comment "gwctl:${k}:relay" -j MARK --set-xmark 0x1000000/0x1000000`;
const stray = (k: string) => `-m conntrack --ctstate INVALID -m comment --comment "gwctl:${k}:stray" -j DROP`;

describe('what the relay listens on', () => {
  it('is marked as it listens, and accepted', async () => {
    const limited = relayed({
      uid: uidOf(2),
      interface: 'wan',
      port: 5000,
      last: 5010,
      transports: ['udp'],
      allow: ['192.0.2.0/24'],
    });
    await reconcile({ relayed: [limited, one] });
    expect(tables.rules('mangle')).toEqual([
      HOOKS[0],
      `GWCTL-RLY -d 203.0.113.10/32 -p tcp -m tcp --dport 8080 ${stray(key)}`,
      `GWCTL-RLY -d 203.0.113.10/32 -p tcp -m tcp --dport 8080 ${mark(key)}`,
      `GWCTL-RLY -s 192.0.2.0/24 -d 203.0.113.10/32 -i wan -p udp -m udp --dport 5000:5010 ${mark(limited.key)}`,
    ]);
    expect(tables.rules('filter')).toEqual([HOOKS[1], ACCEPT]);
    for (const table of ['mangle', 'filter', 'nat'] as const) expect(tables6.rules(table)).toEqual([]);
  });

  it('of every address is in both families, with the sources of each', async () => {
    await reconcile({ relayed: [relayed({ address: null, allow: ['192.0.2.0/24', '2001:db8::/32'] })] });
    expect(tables.rules('mangle').at(-1)).toBe(`GWCTL-RLY -s 192.0.2.0/24 -p tcp -m tcp --dport 8080 ${mark(key)}`);
    expect(tables6.rules('mangle').at(-1)).toBe(`GWCTL-RLY -s 2001:db8::/32 -p tcp -m tcp --dport 8080 ${mark(key)}`);
    await reconcile({ relayed: [relayed({ address: null, allow: [] })] });
    expect(tables.rules('mangle')).toEqual([HOOKS[0], `GWCTL-RLY -p tcp -m tcp --dport 8080 ${stray(key)}`]);
  });

  it('needs no forwarding, and leaves nothing', async () => {
    const { plan } = await reconcile({ relayed: [relayed({ address: null })] });
    expect(plan.steps.map((s) => s.kind)).not.toContain('ip-forward');
    expect((await reconcile({ relayed: [relayed({ address: null })] }, fresh())).plan.steps).toEqual([]);
    await reconcile({});
    for (const table of ['mangle', 'filter', 'nat'] as const)
      expect([...tables.rules(table), ...tables6.rules(table)]).toEqual([]);
  });

  it('comes and goes while flows of what the kernel carried before go on', async () => {
    await reconcile({ forwards: [placed()] });
    flows.flows.push({
      protocol: 'tcp',
      state: 'ESTABLISHED',
      original: { source: '198.51.100.2', destination: '203.0.113.10', sourcePort: 40000, destinationPort: 443 },
      reply: { source: '10.0.0.10', destination: '10.0.0.1', sourcePort: 8443, destinationPort: 40000 },
      mark: MARK_BIT,
    });
    const { rendered } = await reconcile({ relayed: [one] });
    const filter = () => tables.rules('filter').map((r) => r.split(' ')[0]);
    expect(filter()).toEqual(expect.arrayContaining(['INPUT', 'FORWARD', 'GWCTL-FWD', 'GWCTL-IN']));
    expect(driver.drift(rendered, await driver.observe())).toEqual([]);
    expect((await reconcile({ relayed: [one] })).plan.steps).toEqual([]);
    await reconcile({});
    expect(filter()).not.toContain('GWCTL-IN');
    expect(filter()).toContain('GWCTL-FWD');
    expect(tables.rules('mangle')).toEqual([]);
    await reconcile({ relayed: [one] });
    flows.flows.length = 0;
    await driver.observe();
    await reconcile({ relayed: [one] });
    expect(tables.rules('filter')).toEqual([HOOKS[1], ACCEPT]);
  });

  it('takes over from the kernel before what flows of the kernel live on goes', async () => {
    await reconcile({ forwards: [placed()] });
    const { plan } = await reconcile({ relayed: [relayed({ uid: placed().uid, port: 443 })] });
    expect(plan.steps.map((s) => s.kind)).not.toContain('ip-forward');
    expect(tables.rules('nat')).toEqual([]);
    expect(tables.rules('filter').some((r) => r.startsWith('GWCTL-FWD'))).toBe(true);
    expect(sysctl.values.get('net.ipv4.ip_forward')).toBe('1');
    // A look tells that there are none.
    await driver.observe();
    await reconcile({ relayed: [relayed({ uid: placed().uid, port: 443 })] });
    expect(tables.rules('filter')).toEqual([HOOKS[1], ACCEPT]);
    expect(sysctl.values.get('net.ipv4.ip_forward')).toBe('0');
  });

  it('is there before the kernel forwards again, which it does at once', async () => {
    await reconcile({ relayed: [relayed({ uid: placed().uid, port: 443 })] });
    const { plan } = await reconcile({ forwards: [placed()] });
    const at = (title: RegExp) => plan.steps.findIndex((s) => title.test(s.title));
    expect(at(/^filter: fill GWCTL-FWD/)).toBeLessThan(at(/ip_forward to 1/));
    expect(at(/ip_forward to 1/)).toBeLessThan(at(/^nat: /));
    expect(at(/^nat: /)).toBeLessThan(at(/^filter: remove GWCTL-IN/));
    expect(tables.rules('mangle').some((r) => r.includes('GWCTL-RLY'))).toBe(false);
    expect((await reconcile({ forwards: [placed()] })).plan.steps).toEqual([]);
  });

  it('is taken apart by address and port where there are many', async () => {
    const many = Array.from({ length: 40 }, (_, n) => relayed({ uid: uidOf(n + 10), port: 2_000 + 300 * n }));
    await reconcile({ relayed: many });
    const root = tables.rules('mangle').filter((r) => r.startsWith('GWCTL-RLY '));
    expect(root.length).toBeLessThan(20);
    expect(tables.rules('mangle').filter((r) => r.includes(':relay"'))).toHaveLength(40);
    await reconcile({ relayed: many.slice(0, 1) });
    expect(tables.rules('mangle')).toHaveLength(3);
  });
});

describe('packets that are under way as a forward changes hands', () => {
  const moved = (port = 443) => relayed({ uid: placed().uid, port });
  const other = placed({ uid: uidOf(7), port: 7 });

  it('and were sent to the target by the kernel get the source address that they need', async () => {
    await reconcile({ forwards: [placed()] });
    expect(passed).toEqual([]);
    await reconcile({ relayed: [moved()] });
    expect(passed).toHaveLength(1);
    expect(passed[0]?.nat).toEqual(['POSTROUTING', 'GWCTL-POST', 'GWCTL-SNAT']);
    expect(passed[0]?.filter).toEqual(expect.arrayContaining(['INPUT', 'FORWARD', 'GWCTL-FWD', 'GWCTL-IN']));
    expect(tables.rules('nat')).toEqual([]);
  });

  it('get it also of one forward among others', async () => {
    await reconcile({ forwards: [placed({ snat: '10.0.0.2' }), other] });
    const sources = () => tables.rules('nat').filter((r) => r.includes('--to-source'));
    expect(sources()).toHaveLength(1);
    let then: readonly string[] = [];
    const by = fresh(async () => {
      then = sources();
    });
    await reconcile({ forwards: [other], relayed: [moved()] }, by);
    expect(then).toHaveLength(1);
    expect(sources()).toEqual([]);
  });

  it('and came to the relay are let in to it', async () => {
    await reconcile({ relayed: [moved()] });
    await reconcile({ forwards: [placed()] });
    expect(passed).toHaveLength(1);
    expect(passed[0]?.nat).toEqual(expect.arrayContaining(['PREROUTING', 'POSTROUTING']));
    expect(passed[0]?.filter).toEqual(expect.arrayContaining(['INPUT', 'GWCTL-IN']));
    expect(passed[0]?.mangle).toEqual(expect.arrayContaining(['INPUT', 'GWCTL-RLY']));
    expect(chains('filter')).not.toContain('GWCTL-IN');
  });

  it('are nobody to wait for where nothing changes hands', async () => {
    await reconcile({ forwards: [placed(), other], relayed: [one] });
    await reconcile({ forwards: [placed(), other], relayed: [one, relayed({ uid: uidOf(9), port: 99 })] });
    await reconcile({ forwards: [placed(), other] });
    expect(passed).toEqual([]);
  });
});

describe("others' filters", () => {
  it('of the other variant get one rule of ours, first, for as long as the relay listens', async () => {
    const input = () => other.rules('filter').filter((r) => r.startsWith('INPUT '));
    other.meddle('filter', ['-A INPUT -p tcp -j DROP']);
    await reconcile({ relayed: [one] });
    expect(input()).toEqual([`INPUT ${COMPANIONS.INPUT}`, 'INPUT -p tcp -j DROP']);
    expect((await reconcile({ relayed: [one] })).plan.steps).toEqual([]);
    await reconcile({});
    expect(input()).toEqual(['INPUT -p tcp -j DROP']);
  });

  it('of nft are told of, with a rule to paste, where the relay listens', async () => {
    await reconcile({ relayed: [one] });
    expect(driver.conditions(await driver.observe())).toContainEqual(
      expect.objectContaining({
        type: 'InputOpen',
        status: 'false',
        reason: 'INPUT_BLOCKED',
        message: expect.stringContaining('nft insert rule inet fw in meta mark and 0x1000000 == 0x1000000 accept'),
      }),
    );
    await reconcile({});
    expect(driver.conditions(await driver.observe()).map((c) => c.type)).not.toContain('InputOpen');
  });
});

it('what somebody changes of it is found, and repaired', async () => {
  const { rendered } = await reconcile({ relayed: [one] });
  tables.meddle('filter', ['-D INPUT -m comment --comment "gwctl:hook" -j GWCTL-IN']);
  tables.meddle('mangle', [`-D GWCTL-RLY -d 203.0.113.10/32 -p tcp -m tcp --dport 8080 ${mark(key)}`]);
  const found = driver.drift(rendered, await driver.observe());
  expect(found.map(({ forwards, drift: { cause, object } }) => [cause, object, forwards])).toEqual([
    ['missing', 'mangle/GWCTL-RLY', [one.uid]],
    ['missing', 'filter/INPUT', []],
  ]);
  await reconcile({ relayed: [one] });
  expect(driver.drift(rendered, await driver.observe())).toEqual([]);
  await fresh().cleanUp();
  expect([...tables.rules('mangle'), ...tables.rules('filter')]).toEqual([]);
});
