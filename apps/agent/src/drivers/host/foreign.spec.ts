import { describe, expect, it } from 'vitest';
import { type FakeAnswer, FakeExec } from '../../system/exec.fake.js';
import type { Command } from '../../system/exec.js';
import { ip } from '../../testing/placed.js';
import { relayed } from '../../testing/relayed.js';
import type { DriverName } from '../driver.js';
import { HostFindings, takenListeners } from './findings.js';
import { ProgramForeignNat } from './foreign-nat.js';
import { iptablesNat } from './iptables-nat.js';
import { natChains, nftNat } from './nft-nat.js';
import { MemoryHost, placed } from './testing.js';

/** As Docker and a firewall leave it, with ours behind one rule of somebody's. */
const SAVED = `*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:GWCTL-DISP - [0:0]
-A PREROUTING -d 203.0.113.10/32 -i wan -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.0.0.99:443
-A PREROUTING -m comment --comment "gwctl:hook" -j GWCTL-DISP
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A PREROUTING -p udp -m multiport --dports 53,5000:5010 -j REDIRECT --to-ports 53
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A GWCTL-DISP -p tcp -m tcp --dport 9999 -j DNAT --to-destination 10.0.0.10:1
COMMIT
`;

const chain = (over: object = {}) => ({
  chain: { family: 'ip', table: 'other', name: 'pre', type: 'nat', hook: 'prerouting', prio: -100, ...over },
});
const match = (left: object, right: unknown, op = '==') => ({ match: { op, left, right } });
const payload = (protocol: string, field: string) => ({ payload: { protocol, field } });
const rule = (name: string, ...expr: object[]) => ({
  rule: { family: 'ip', table: 'other', chain: name, handle: 7, expr },
});
const listing = (...objects: object[]) => JSON.stringify({ nftables: [{ metainfo: {} }, ...objects] });
const nft = (objects: readonly object[], over: object = {}) =>
  nftNat(
    listing(...objects),
    natChains(listing(chain(over)), () => false),
  );

const at = (over: Parameters<typeof placed>[0] extends infer _ ? Partial<ReturnType<typeof placed>['listen']> : never) =>
  placed({ listen: { ...placed().listen, ...over } });
const port = (number: number, over = {}) => at({ ports: { first: number, last: number }, ...over });
const { addresses } = new MemoryHost().addresses;
const own = [...addresses, { address: ip('203.0.113.10'), prefix: 32, interface: 'wan', ours: false }];
const found = (
  forward: ReturnType<typeof placed>,
  rules: Parameters<typeof takenListeners>[1],
  driver: DriverName = 'nftables',
) => takenListeners([forward], rules, { driver, addresses: own }).map((f) => f.condition.message);

describe('rules of iptables', () => {
  const rules = iptablesNat({ text: SAVED, family: 4, variant: 'nft' });

  it('are followed from PREROUTING, without ours', () => {
    expect(rules.map((r) => [r.chain, r.place, r.taken])).toMatchObject([
      ['iptables-nft nat/PREROUTING', { first: true }, { protocols: [6], ports: [{ first: 443, last: 443 }], from: ['wan'] }],
      ['iptables-nft nat/DOCKER', { first: false }, { local: true, notFrom: ['docker0'], ports: [{ first: 8080 }] }],
      ['iptables-nft nat/PREROUTING', { first: false }, { protocols: [17], ports: [{ first: 53 }, { first: 5000, last: 5010 }] }],
    ]);
  });

  it.each<[string, ReturnType<typeof placed>, number]>([
    ['the same address and port', port(443), 1],
    ['another port', port(444), 0],
    ['another address', port(443, { address: ip('198.51.100.1') }), 0],
    ['another protocol', port(443, { protocol: 'udp' }), 0],
    ['both protocols', port(8080, { protocol: 'tcp+udp' }), 1],
    ['a range around it', at({ ports: { first: 8000, last: 8100 } }), 1],
    ['another interface', port(443, { interface: 'lan' }), 0],
    ['an address that is not the gateway’s', port(8080, { address: ip('203.0.113.77') }), 0],
    ['the interface that is left out', port(8080, { interface: 'docker0' }), 0],
    ['every protocol of the address', placed({ listen: { address: ip('203.0.113.10'), protocol: 'all' } }), 1],
    ['what is ours', port(9999), 0],
  ])('are found on a listener with %s', (_, forward, count) => {
    expect(found(forward, rules)).toHaveLength(count);
  });

  it('are found on a wildcard listener', () => {
    const { address: _, ...listen } = placed().listen;
    const wildcard = (number: number) => placed({ listen: { ...listen, ports: { first: number, last: number } } });
    expect(found(wildcard(8080), rules)).toHaveLength(1);
    expect(found(wildcard(443), rules)).toHaveLength(1);
    const elsewhere = iptablesNat({ text: SAVED.replace('203.0.113.10/32', '203.0.113.99/32'), family: 4, variant: 'nft' });
    expect(found(wildcard(443), elsewhere)).toHaveLength(0);
  });

  it('win or lose as the kernel asks them', () => {
    expect(found(port(443), rules, 'nftables')[0]).toContain('the forward comes first (priority -105 against -100)');
    expect(found(port(443), rules, 'iptables-nft')[0]).toContain('the other rule comes first in PREROUTING');
    expect(found(port(8080), rules, 'iptables-nft')[0]).toContain('the forward comes first in PREROUTING');
    expect(found(port(8080), rules, 'iptables-legacy')[0]).toContain('both have the same priority');
    expect(found(port(8080), rules)[0]).toContain('nat/DOCKER of another tool');
  });

  it('of IPv6 are nothing to IPv4', () => {
    expect(found(port(8080), iptablesNat({ text: SAVED, family: 6, variant: 'nft' }))).toEqual([]);
  });

  it('that lead in circles end', () => {
    const text = '-A PREROUTING -j a\n-A a -j b\n-A b -j a\n-A b -p tcp --dport 443 -j DNAT --to-destination 10.0.0.9\n';
    expect(found(port(443), iptablesNat({ text, family: 4, variant: 'legacy' }))).toHaveLength(1);
  });
});

describe('rules of nft', () => {
  const dnat = { dnat: { addr: '10.0.0.99', port: 1 } };

  it.each<[string, object[], number[]]>([
    ['a port', [rule('pre', match(payload('tcp', 'dport'), 443), dnat)], [443]],
    ['ports of a set', [rule('pre', match(payload('tcp', 'dport'), { set: [443, { range: [80, 90] }] }), dnat)], [85, 443]],
    ['every port', [rule('pre', { counter: null }, { redirect: { port: 1 } })], [1, 85, 443]],
    ['an address', [rule('pre', match(payload('ip', 'daddr'), '203.0.113.10'), dnat)], [1, 85, 443]],
    ['a network', [rule('pre', match(payload('ip', 'daddr'), { prefix: { addr: '203.0.113.0', len: 24 } }), dnat)], [1, 85, 443]],
    ['another network', [rule('pre', match(payload('ip', 'daddr'), { prefix: { addr: '10.0.0.0', len: 8 } }), dnat)], []],
    ['all but the address', [rule('pre', match(payload('ip', 'daddr'), '203.0.113.10', '!='), dnat)], []],
    ['another protocol', [rule('pre', match({ meta: { key: 'l4proto' } }, 'udp'), dnat)], []],
    [
      'a chain that is jumped to',
      [
        rule('pre', match({ fib: { result: 'type', flags: ['daddr'] } }, 'local'), { jump: { target: 'more' } }),
        rule('more', match(payload('tcp', 'dport'), 443), dnat),
      ],
      [443],
    ],
    [
      'a map in the rule',
      [rule('pre', { dnat: { addr: { map: { key: payload('tcp', 'dport'), data: { set: [[443, '10.0.0.9']] } } } } })],
      [443],
    ],
    [
      'a named map of verdicts',
      [
        {
          map: {
            family: 'ip',
            table: 'other',
            name: 'm',
            elem: [[{ concat: ['203.0.113.10', 'tcp', 443] }, { goto: { target: 'one' } }]],
          },
        },
        rule('pre', {
          vmap: {
            key: { concat: [payload('ip', 'daddr'), { meta: { key: 'l4proto' } }, payload('th', 'dport')] },
            data: '@m',
          },
        }),
        rule('one', dnat),
      ],
      [443],
    ],
    ['only what is filtered', [rule('pre', match(payload('tcp', 'dport'), 443), { accept: null })], []],
  ])('are found that take %s', (_, objects, ports) => {
    expect([1, 85, 443].filter((number) => found(port(number), nft(objects)).length > 0)).toEqual(ports);
  });

  it('win by their priority', () => {
    const objects = [rule('pre', match(payload('tcp', 'dport'), 443), dnat)];
    expect(found(port(443), nft(objects, { prio: -150 }))[0]).toContain(
      'the other rule comes first (priority -105 against -150)',
    );
    expect(found(port(443), nft(objects), 'iptables-nft')[0]).toContain('same priority');
    expect(found(port(443), nft(objects))[0]).toContain('nft ip other pre of another tool');
  });

  it('of inet count for both families, those of ip6 only for IPv6', () => {
    const objects = [rule('pre', { redirect: { port: 1 } })];
    expect(nft(objects, { family: 'inet' }).map((r) => r.family)).toEqual([4, 6]);
    expect(nft(objects, { family: 'ip6' }).map((r) => r.family)).toEqual([6]);
  });
});

describe('reading them', () => {
  const other = listing(chain(), rule('pre', match(payload('tcp', 'dport'), 443), { dnat: { addr: '10.0.0.99' } }));

  function reader(answer: (command: Command) => FakeAnswer | undefined, legacy = '') {
    const exec = new FakeExec({ answer });
    const host = { generation: 1 as number | undefined, now: 0 };
    const nat = new ProgramForeignNat({
      exec,
      generation: () => host.generation,
      legacyTables: async (family) => (family === 4 ? legacy : ''),
      now: () => host.now,
    });
    return { exec, host, nat, asked: () => exec.commands.splice(0).map((c) => [c.program, ...c.args].join(' ')) };
  }

  it('asks for chains, and for the tables that have any', async () => {
    const { nat, asked } = reader(({ args }) => ({
      stdout: args.includes('chains')
        ? listing(chain(), chain({ table: 'gwctl' }), chain({ table: 'nat', name: 'PREROUTING' }))
        : other,
    }));
    expect((await nat.read()).rules).toHaveLength(1);
    expect(asked()).toEqual(['nft -j list chains', 'nft -j list table ip other', 'iptables-nft-save -t nat']);
  });

  it('asks again only where the kernel counts a change, and not at once', async () => {
    const { nat, asked, host } = reader(() => ({ stdout: other }));
    const first = await nat.read();
    host.now = 10_000;
    expect(await nat.read()).toBe(first);
    host.generation = 2;
    asked();
    expect(await nat.read()).toBe(first);
    expect(asked()).not.toEqual([]);
    host.generation = 3;
    host.now += 500;
    await nat.read();
    expect(asked()).toEqual([]);
  });

  it('asks iptables-legacy only where it is used', async () => {
    const { nat, asked } = reader(({ program }) => ({ stdout: program === 'nft' ? listing() : SAVED }), 'filter\nnat\n');
    expect((await nat.read()).rules).toHaveLength(3);
    expect(asked()).toEqual(['nft -j list chains', 'iptables-legacy-save -t nat']);
  });

  it('tells what it could not read, and goes without programs that are not there', async () => {
    const missing = reader(() => undefined);
    expect(await missing.nat.read()).toEqual({ rules: [] });
    const failing = reader(() => ({ exitCode: 1, stderr: 'Operation not permitted' }));
    expect((await failing.nat.read()).trouble).toContain('not permitted');
    const garbled = reader(() => ({ stdout: 'no json' }));
    expect((await garbled.nat.read()).trouble).toContain('cannot be read');
  });
});

describe('findings', () => {
  it('are made of what the relay listens on too, which comes behind every rule', async () => {
    const host = new MemoryHost();
    host.foreign = { rules: iptablesNat({ text: SAVED, family: 4, variant: 'nft' }) };
    const all = [
      relayed({ uid: 'r1', port: 443 }),
      relayed({ uid: 'r2', address: null, port: 8080 }),
      relayed({ uid: 'r3', port: 444 }),
    ];
    const rendered = host.driver.render(host.desired({ relayed: all }));
    const { host: observed } = await host.driver.observe();
    const message = expect.stringContaining('before the socket that the relay listens with');
    const finding = (uid: string) => ({ uid, condition: { type: 'ListenerFree', reason: 'FOREIGN_DNAT', message } });
    expect(new HostFindings('nftables').of(rendered, observed)).toMatchObject([finding('r1'), finding('r2')]);
  });

  it('are made once for the same forwards and rules', () => {
    const rules = iptablesNat({ text: SAVED, family: 4, variant: 'nft' });
    const host = new MemoryHost();
    host.foreign = { rules };
    const findings = new HostFindings('nftables');
    const rendered = host.driver.render(host.desired({ forwards: [port(443)] }));
    return host.driver.observe().then(({ host: observed }) => {
      const first = findings.of(rendered, observed);
      expect(first).toMatchObject([{ uid: 'u1', condition: { type: 'ListenerFree', status: 'false', reason: 'FOREIGN_DNAT' } }]);
      expect(findings.of(rendered, observed)).toBe(first);
    });
  });
});
