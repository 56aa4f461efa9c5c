import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type TrafficWords, traffic } from '../testing/traffic.js';
import { carrierViolations, familiesOf, isLoopback, kernelCannot, LOOPBACK, needsRelay, relayCannot } from './carriers.js';
import type { DriverChoice } from './forward.js';
import { contains, parseIp } from './ip.js';

const to = (host: string) => ({ host, port: 80, weight: 1 });
const all = { listen: { protocol: 'all' }, targets: [{ host: '198.51.100.2', port: 0, weight: 1 }] } as const;
const fields = (violations: readonly { readonly field: string }[]) => violations.map((v) => v.field);

/** What only the relay can do, and which field says so. */
const FOR_THE_RELAY: readonly [string, TrafficWords, string][] = [
  ['a loopback listener', { listen: { address: '127.0.0.1' } }, 'listen.address'],
  ['a loopback target', { targets: [to('198.51.100.2'), to('127.0.0.9')] }, 'targets[1].host'],
  ['an IPv6 loopback target', { listen: { address: '2001:db8::1' }, targets: [to('::1')] }, 'targets[0].host'],
  ['an IPv6 target', { targets: [to('2001:db8::2')] }, 'targets[0].host'],
  ['targets of both families', { listen: { address: '' }, targets: [to('10.0.0.1'), to('2001:db8::2')] }, 'targets[1].host'],
  ['the PROXY protocol', { relay: { proxyProtocol: 'v2' } }, 'relay.proxy_protocol'],
  ['a connect time-out', { relay: { connectTimeout: 1 } }, 'relay.connect_timeout_seconds'],
  ['an idle time-out', { relay: { tcpIdleTimeout: 1 } }, 'relay.tcp_idle_timeout_seconds'],
  ['one of UDP', { listen: { protocol: 'udp' }, relay: { udpIdleTimeout: 1 } }, 'relay.udp_idle_timeout_seconds'],
  ['a limit', { relay: { maxConnections: 1 } }, 'relay.max_connections'],
  ['a limit for each client', { relay: { maxConnectionsPerClient: 1 } }, 'relay.max_connections_per_client'],
];

/** What only the kernel can do. */
const FOR_THE_KERNEL: readonly [string, TrafficWords, string][] = [
  ['a whole address', all, 'listen.protocol'],
  ["the client's own address", { snat: { mode: 'none', address: '' } }, 'snat.mode'],
  ['FTP', { helper: 'ftp' }, 'helper'],
  ['lower segments', { clampMss: true }, 'clamp_mss'],
  ['the port of another socket', { takeover: true }, 'takeover'],
];

describe('who can carry a forward', () => {
  it('is both for the ordinary one', () => {
    for (const driver of ['auto', 'kernel', 'relay'] as const) {
      const plain = traffic({ driver });
      expect([...kernelCannot(plain), ...relayCannot(plain), ...carrierViolations(plain)]).toEqual([]);
    }
  });

  it.each(FOR_THE_RELAY)('is the relay alone for %s', (_, change, field) => {
    expect(fields(kernelCannot(traffic(change)))).toEqual([field]);
    expect(relayCannot(traffic(change))).toEqual([]);
    for (const driver of ['auto', 'relay'] as const) {
      expect(carrierViolations(traffic({ ...change, driver }))).toEqual([]);
      expect(needsRelay(traffic({ ...change, driver }))).toBe(true);
    }
    const refused = carrierViolations(traffic({ ...change, driver: 'kernel' }), 'spec.');
    expect(fields(refused)).toEqual([`spec.${field}`]);
    expect(refused[0]?.description).toMatch(/; use driver auto or relay$/);
  });

  it.each(FOR_THE_KERNEL)('is the kernel alone for %s', (_, change, field) => {
    expect(kernelCannot(traffic(change))).toEqual([]);
    expect(fields(relayCannot(traffic(change)))).toEqual([field]);
    for (const driver of ['auto', 'kernel'] as const) expect(carrierViolations(traffic({ ...change, driver }))).toEqual([]);
    expect(needsRelay(traffic(change))).toBe(false);
    const refused = carrierViolations(traffic({ ...change, driver: 'relay' }), 'spec.');
    expect(fields(refused)).toEqual([`spec.${field}`]);
    expect(refused[0]?.description).toMatch(/; use driver auto or kernel$/);
  });

  it.each(FOR_THE_RELAY.flatMap((a) => FOR_THE_KERNEL.slice(1).map((b) => [a[0], b[0], a, b] as const)))(
    'is nobody for %s together with %s',
    (_, __, [, one, forRelay], [, other, forKernel]) => {
      // A lowered segment size and FTP are of TCP, one of the time-outs is of UDP.
      if (one.listen?.protocol === 'udp' && (other.clampMss || other.helper)) return;
      const both = { ...one, ...other };
      expect(fields(carrierViolations(traffic(both), 'spec.'))).toEqual([`spec.${forRelay}`, `spec.${forKernel}`]);
      // Another driver would not do either, so none is advised.
      for (const driver of ['kernel', 'relay'] as const)
        for (const { description } of carrierViolations(traffic({ ...both, driver })))
          expect(description).toMatch(/; leave it out$/);
    },
  );

  it('says what is between an address and another', () => {
    expect(kernelCannot(traffic({ targets: [to('2001:db8::2')] }))[0]?.description).toBe(
      '2001:db8::2 is IPv6 and the listener IPv4, between which the kernel does not translate',
    );
    expect(kernelCannot(traffic({ listen: { address: '' }, targets: [to('10.0.0.1'), to('2001:db8::2')] }))[0]?.description).toBe(
      '2001:db8::2 is IPv6 and another target IPv4, between which the kernel does not translate',
    );
  });
});

describe('the families of a listener', () => {
  it.each<[string, TrafficWords, readonly number[]]>([
    ['an address', {}, [4]],
    ['an IPv6 address with an IPv4 target', { listen: { address: '2001:db8::1' } }, [6]],
    ['every address, carried by the kernel', { listen: { address: '' }, targets: [to('2001:db8::1')] }, [6]],
    ['every address, for a name', { listen: { address: '' }, targets: [to('db.example.net')] }, [4]],
    ['every address, carried by the relay', { listen: { address: '' }, driver: 'relay' }, [4, 6]],
    ['every address, where only the relay can', { listen: { address: '' }, targets: [to('127.0.0.1')] }, [4, 6]],
    ['every address, where only the kernel may', { listen: { address: '' }, targets: [to('127.0.0.1')], driver: 'kernel' }, [4]],
  ])('for %s', (_, change, families) => {
    expect(familiesOf(traffic(change))).toEqual(families);
  });
});

describe('isLoopback', () => {
  it('is true exactly of what the networks have', () => {
    const texts = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.ipV4().map((ip) => ip.replace(/^\d+/, '127')),
      fc.constantFrom('::1', '::2', '::', '126.255.255.255', '128.0.0.0', '1::1'),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const ip = parseIp(text);
        if (ip.ok) expect(isLoopback(ip.value)).toBe(LOOPBACK.some((n) => contains(n, ip.value)));
      }),
    );
  });
});

it('every driver of every forward is either carried or refused with reasons', () => {
  const change = fc.record({
    one: fc.constantFrom(...FOR_THE_RELAY.map(([, c]) => c), {}),
    other: fc.constantFrom(...FOR_THE_KERNEL.slice(1).map(([, c]) => c), {}),
    driver: fc.constantFrom<DriverChoice>('auto', 'kernel', 'relay'),
  });
  fc.assert(
    fc.property(change, ({ one, other, driver }) => {
      if (one.listen?.protocol === 'udp' && ('clampMss' in other || 'helper' in other)) return;
      const s = traffic({ ...one, ...other, driver });
      const carried = needsRelay(s) ? relayCannot(s).length === 0 : kernelCannot(s).length === 0;
      expect(carrierViolations(s).length === 0).toBe(carried);
    }),
  );
});
