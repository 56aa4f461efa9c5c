import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rawTraffic, relayOptions } from '../testing/traffic.js';
import {
  formatListener,
  type Listener,
  listenersConflict,
  parseTrafficSpec,
  type RawTrafficSpec,
  transports,
} from './forward.js';
import { parseIp } from './ip.js';
import { MAX_LABELS, parseDnsName, parseInterface, parseLabels, parseName, parseText } from './names.js';

const good = rawTraffic({
  listen: { address: '192.168.1.10', interface: 'enp1s0', ports: { first: 10022, last: 10022 } },
  targets: [{ host: '192.168.2.122', port: 10022, weight: 1 }],
  allowSources: ['192.168.1.0/24'],
  snat: { mode: 'auto', address: '' },
});

const fieldsOf = (raw: RawTrafficSpec) => {
  const parsed = parseTrafficSpec(raw, 'spec.');
  return parsed.ok ? [] : parsed.error.map((v) => v.field);
};

const listen = (change: Partial<NonNullable<RawTrafficSpec['listen']>>): RawTrafficSpec => ({
  ...good,
  listen: { ...good.listen!, ...change },
});

const udp: RawTrafficSpec = listen({ protocol: 'udp' });
const all: RawTrafficSpec = {
  ...good,
  listen: { address: '192.168.100.3', interface: '', protocol: 'all', announce: true },
  targets: [{ host: '192.168.2.122', port: 0, weight: 1 }],
};

const target = (host: string) => ({ host, port: 80, weight: 1 });
const PROXY = 'spec.relay.proxy_protocol';

describe('parseTrafficSpec', () => {
  it('takes the example of the design', () => {
    expect(parseTrafficSpec(good)).toMatchObject({
      ok: true,
      value: { listen: { address: { text: '192.168.1.10' }, ports: { first: 10022 } } },
    });
  });

  it.each<[string, RawTrafficSpec, string[]]>([
    ['no listener', { ...good, listen: undefined }, ['spec.listen']],
    ['port 0', listen({ ports: { first: 0, last: 0 } }), ['spec.listen.ports']],
    ['port 70000', listen({ ports: { first: 70000, last: 70000 } }), ['spec.listen.ports']],
    ['a reversed range', listen({ ports: { first: 90, last: 80 } }), ['spec.listen.ports']],
    ['the unspecified address', listen({ address: '0.0.0.0' }), ['spec.listen.address']],
    ['multicast', listen({ address: '224.0.0.1' }), ['spec.listen.address']],
    ['an interface with a quote', listen({ interface: 'eth0"; flush' }), ['spec.listen.interface']],
    ['an unknown protocol', listen({ protocol: undefined }), ['spec.listen.protocol']],
    ['all with ports', listen({ protocol: 'all' }), ['spec.listen.ports']],
    ['no target', { ...good, targets: [] }, ['spec.targets']],
    ['a target twice', { ...good, targets: [good.targets[0]!, good.targets[0]!] }, ['spec.targets[1]']],
    [
      'a target port out of range',
      { ...good, targets: [{ host: '10.0.0.1', port: 65536, weight: 1 }] },
      ['spec.targets[0].port'],
    ],
    ['a weight out of range', { ...good, targets: [{ host: '10.0.0.1', port: 1, weight: 1001 }] }, ['spec.targets[0].weight']],
    [
      'a target that looks like an address',
      { ...good, targets: [{ host: '10.0.0', port: 1, weight: 1 }] },
      ['spec.targets[0].host'],
    ],
    ['a bad CIDR', { ...good, allowSources: ['10.0.0.0/99'] }, ['spec.allow_sources[0]']],
    ['host bits', { ...good, allowSources: ['10.0.0.1/8'] }, ['spec.allow_sources[0]']],
    ['an IPv6 source for an IPv4 forward', { ...good, allowSources: ['2001:db8::/32'] }, ['spec.allow_sources[0]']],
    ['a fixed SNAT without address', { ...good, snat: { mode: 'address', address: '' } }, ['spec.snat.address']],
    ['an address without its mode', { ...good, snat: { mode: 'none', address: '10.0.0.1' } }, ['spec.snat.address']],
    ['unknown words', { ...good, driver: undefined, onChange: undefined }, ['spec.driver', 'spec.on_change']],
    [
      'unknown words of the newer fields',
      { ...good, affinity: undefined, helper: undefined, healthCheck: { mode: undefined, port: 0 } },
      ['spec.affinity', 'spec.helper', 'spec.health_check.mode'],
    ],
    [
      'an IPv6 source for a listener on every address that the kernel carries',
      { ...listen({ address: '' }), allowSources: ['2001:db8::/32'] },
      ['spec.allow_sources[0]'],
    ],
    [
      'an IPv6 source for an IPv4 listener of the relay',
      { ...good, driver: 'relay', allowSources: ['2001:db8::/32'] },
      ['spec.allow_sources[0]'],
    ],
    [
      'a fixed source that one of the targets cannot answer',
      { ...good, targets: [...good.targets, target('2001:db8::1')], snat: { mode: 'address', address: '192.168.2.10' } },
      ['spec.snat.address'],
    ],
    ['an announced loopback address', listen({ address: '127.0.0.1', announce: true }), ['spec.listen.announce']],
    ['an unknown version of the PROXY protocol', { ...good, relay: relayOptions({ proxyProtocol: undefined }) }, [PROXY]],
    ['version 1 of the PROXY protocol for UDP', { ...udp, relay: relayOptions({ proxyProtocol: 'v1' }) }, [PROXY]],
    [
      'times and limits beyond what is allowed',
      {
        ...good,
        relay: relayOptions({ connectTimeout: 301, tcpIdleTimeout: -1, maxConnections: 1_000_001, maxConnectionsPerClient: 0.5 }),
      },
      ['connect_timeout_seconds', 'tcp_idle_timeout_seconds', 'max_connections', 'max_connections_per_client'].map(
        (f) => `spec.relay.${f}`,
      ),
    ],
    ['times of UDP for TCP', { ...good, relay: relayOptions({ udpIdleTimeout: 9 }) }, ['spec.relay.udp_idle_timeout_seconds']],
    [
      'times of TCP for UDP',
      { ...udp, relay: relayOptions({ connectTimeout: 9, tcpIdleTimeout: 9 }) },
      ['spec.relay.connect_timeout_seconds', 'spec.relay.tcp_idle_timeout_seconds'],
    ],
    ['lower segments of UDP', { ...udp, clampMss: true }, ['spec.clamp_mss']],
    ['FTP over UDP', { ...udp, helper: 'ftp' }, ['spec.helper']],
    ['a TCP check of UDP without a port', { ...udp, healthCheck: { mode: 'tcp', port: 0 } }, ['spec.health_check.port']],
    [
      'a TCP check of a whole address without a port',
      { ...all, healthCheck: { mode: 'tcp', port: 0 } },
      ['spec.health_check.port'],
    ],
    ['a port of no check', { ...good, healthCheck: { mode: 'none', port: 80 } }, ['spec.health_check.port']],
    ['a port of the automatic check', { ...good, healthCheck: { mode: 'auto', port: 80 } }, ['spec.health_check.port']],
    ['a check of port 65536', { ...good, healthCheck: { mode: 'tcp', port: 65536 } }, ['spec.health_check.port']],
    [
      'a target port of a whole address',
      { ...all, targets: [{ host: '192.168.2.122', port: 80, weight: 1 }] },
      ['spec.targets[0].port'],
    ],
    ['a range that ends beyond 65535', listen({ ports: { first: 100, last: 65_000 } }), ['spec.listen.ports']],
    [
      'a shifted range that ends beyond 65535',
      { ...listen({ ports: { first: 100, last: 109 } }), targets: [{ host: '192.168.2.122', port: 65_530, weight: 1 }] },
      ['spec.targets[0].port'],
    ],
  ])('refuses %s and names the field', (_name, raw, fields) => {
    expect(fieldsOf(raw)).toEqual(fields);
  });

  it.each<[string, RawTrafficSpec, object]>([
    ['no word about health as auto', good, { healthCheck: { mode: 'auto' } }],
    [
      'a check of another port',
      { ...udp, healthCheck: { mode: 'tcp', port: 8081 } },
      { healthCheck: { mode: 'tcp', port: 8081 } },
    ],
    ['a check of the own port', { ...good, healthCheck: { mode: 'tcp', port: 0 } }, { healthCheck: { mode: 'tcp' } }],
    ['a whole address with FTP and lower segments', { ...all, helper: 'ftp', clampMss: true }, { helper: 'ftp', clampMss: true }],
    ['clients that stay', { ...good, affinity: 'client' }, { affinity: 'client' }],
    ['a loopback listener', listen({ address: '127.0.0.1' }), { listen: { address: { text: '127.0.0.1' } } }],
    [
      'a loopback target',
      { ...good, targets: [target('127.0.0.1')] },
      { targets: [{ host: { address: { text: '127.0.0.1' } } }] },
    ],
    [
      'an IPv6 target for an IPv4 listener, with its source address and clients of the listener',
      { ...good, targets: [target('2001:db8::1')], snat: { mode: 'address', address: '2001:db8::9' } },
      { targets: [{ host: { address: { family: 6 } } }], allowSources: [{ cidr: { family: 4 } }] },
    ],
    ['targets of both families', { ...good, targets: [target('2001:db8::1'), target('10.0.0.1')] }, { targets: [{}, {}] }],
    [
      'clients of both families on every address that the relay listens on',
      { ...listen({ address: '' }), driver: 'relay', allowSources: ['10.0.0.0/8', '2001:db8::/32'] },
      { allowSources: [{}, {}] },
    ],
    [
      'the same where only the relay can carry it',
      { ...listen({ address: '' }), relay: relayOptions({ proxyProtocol: 'v2' }), allowSources: ['10.0.0.0/8', '2001:db8::/32'] },
      { relay: { proxyProtocol: 'v2' } },
    ],
    [
      'what the relay is asked for',
      { ...good, relay: relayOptions({ proxyProtocol: 'v1', connectTimeout: 300, tcpIdleTimeout: 604_800, maxConnections: 1 }) },
      { relay: { proxyProtocol: 'v1', connectTimeout: 300, tcpIdleTimeout: 604_800, maxConnections: 1 } },
    ],
    ['weights', { ...good, targets: [{ host: '10.0.0.1', port: 1, weight: 0 }] }, { targets: [{ weight: 1 }] }],
  ])('reads %s', (_, raw, expected) => {
    expect(parseTrafficSpec(raw)).toMatchObject({ ok: true, value: expected });
  });

  it('has no options of the relay where none is asked for', () => {
    const parsed = parseTrafficSpec({ ...good, relay: relayOptions({}) });
    expect(parsed.ok && 'relay' in parsed.value).toBe(false);
  });

  it('reports every violation at once', () => {
    expect(fieldsOf({ ...good, listen: undefined, targets: [], snat: { mode: undefined, address: '' } }).length).toBe(3);
  });
});

describe('listenersConflict', () => {
  const address = fc.constantFrom('10.0.0.1', '10.0.0.2', undefined);
  const arbitrary: fc.Arbitrary<Listener> = fc
    .record({
      address,
      protocol: fc.constantFrom('tcp', 'udp', 'tcp+udp', 'all' as const),
      first: fc.integer({ min: 1, max: 6 }),
      width: fc.integer({ min: 0, max: 3 }),
    })
    .map(({ address, protocol, first, width }) => {
      const ip = address ? parseIp(address) : undefined;
      return {
        ...(ip?.ok ? { address: ip.value } : {}),
        protocol: protocol as Listener['protocol'],
        ...(protocol === 'all' ? {} : { ports: { first, last: first + width } }),
        announce: false,
      };
    });

  /** The definition spelled out: some packet belongs to both. */
  const claims = (l: Listener) => {
    const out = new Set<string>();
    for (const a of l.address ? [l.address.text] : ['10.0.0.1', '10.0.0.2'])
      for (const t of transports(l.protocol))
        for (let p = 1; p <= 10; p++) if (!l.ports || (p >= l.ports.first && p <= l.ports.last)) out.add(`${a} ${t} ${p}`);
    return out;
  };

  it('is true exactly when one packet could belong to both, and symmetric', () => {
    fc.assert(
      fc.property(arbitrary, arbitrary, (a, b) => {
        const theirs = claims(b);
        const shares = [...claims(a)].some((c) => theirs.has(c));
        expect(listenersConflict(a, b)).toBe(shares);
        expect(listenersConflict(b, a)).toBe(shares);
      }),
    );
  });

  it('shows listeners as people write them', () => {
    const parsed = parseTrafficSpec(good);
    if (parsed.ok) expect(formatListener(parsed.value.listen)).toBe('192.168.1.10:10022/tcp');
  });
});

describe('names', () => {
  it.each(['a', 'gitbucket-ssh', '0', 'a'.repeat(63)])('take %j', (name) => expect(parseName(name).ok).toBe(true));
  it.each(['', '-a', 'a-', 'A', 'a_b', 'a'.repeat(64), 'a b', 'a\n', 'é', '../x'])('refuse %j', (name) =>
    expect(parseName(name).ok).toBe(false),
  );
  it.each(['eth0', 'enp1s0', 'br-lan', 'eth0.100', 'veth0@if2', 'a'.repeat(15)])('take interface %j', (name) =>
    expect(parseInterface(name).ok).toBe(true),
  );
  it.each(['', '.', '..', '-x', 'eth+', 'a b', 'a/b', 'a:b', '!eth0', 'a"b', 'a;b', 'a'.repeat(16), 'é0', 'eth0\0'])(
    'refuse interface %j',
    (name) => expect(parseInterface(name).ok).toBe(false),
  );
  it.each(['db.example.net', 'DB.Example.NET.', 'a_b.c', 'localhost'])('take DNS name %j', (name) =>
    expect(parseDnsName(name).ok).toBe(true),
  );
  it.each(['', '.', 'a..b', '-a.b', '10.0.0.1', '300.1.1.1', 'a b', `${'a'.repeat(64)}.b`])('refuse DNS name %j', (name) =>
    expect(parseDnsName(name).ok).toBe(false),
  );

  it('let no shell or rule syntax through, whatever is tried', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        if (parseInterface(text).ok) expect(text).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}$/);
        if (parseName(text).ok) expect(text).toMatch(/^[a-z0-9-]{1,63}$/);
        const free = parseText(text);
        if (free.ok) expect(text).not.toMatch(/[\u0000-\u001f\u007f\u202e]/);
      }),
    );
  });

  it('bound labels in number and shape', () => {
    const many = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, 'v']));
    expect(parseLabels(many(MAX_LABELS)).ok).toBe(true);
    expect(parseLabels(many(MAX_LABELS + 1)).ok).toBe(false);
    expect(parseLabels(JSON.parse('{"__proto__":"x"}')).ok).toBe(false);
    expect(parseLabels({ constructor: 'x' }).ok).toBe(true);
    expect(parseLabels({ a: 'b c' }).ok).toBe(false);
  });
});
