import type { Protocol } from '@gwctl/shared/domain/forward';
import { type TrafficWords, traffic } from '@gwctl/shared/testing/traffic';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { uidOf } from '../testing/forwards.js';
import { LEAST } from '../testing/gateway.js';
import { ip } from '../testing/placed.js';
import { planForwards } from '../testing/plan-forwards.js';
import { WantedPorts } from '../wanted-ports.js';
import type { DesiredForward, HostFacts, Verdict } from './types.js';

const FACTS: HostFacts = {
  interfaces: ['lo', 'wan', 'lan'],
  addresses: [
    { address: ip('127.0.0.1'), prefix: 8, interface: 'lo' },
    { address: ip('203.0.113.10'), prefix: 32, interface: 'wan' },
    { address: ip('10.0.0.1'), prefix: 24, interface: 'lan' },
  ],
  sockets: [
    { protocol: 'tcp', port: 22, owner: 'sshd (pid 7)' },
    { protocol: 'tcp', address: ip('10.0.0.1'), port: 8000, owner: 'nginx (pid 9)' },
    { protocol: 'tcp', address: ip('127.0.0.1'), port: 5432 },
    { protocol: 'udp', port: 53 },
  ],
  protected: [
    { kind: 'ssh', protocol: 'tcp', port: 22, reason: "the gateway's own sshd" },
    { kind: 'control', protocol: 'tcp', address: ip('192.0.2.7'), port: 7443, reason: "the agent's own connection" },
  ],
};

interface Words extends Omit<TrafficWords, 'listen' | 'relay' | 'allowSources'> {
  readonly address?: string;
  readonly interface?: string;
  readonly protocol?: Protocol | undefined;
  readonly ports?: [number, number];
  readonly announce?: boolean;
  readonly allow?: readonly string[];
}

/** By default tcp 203.0.113.10:443 to 10.0.0.10:8443. */
function desired(words: Words = {}, n = 1): DesiredForward {
  const { address = '203.0.113.10', interface: by = '', protocol = 'tcp', ports = [443, 443], announce = false, ...rest } = words;
  const { allow = [], ...more } = rest;
  const spec = traffic({
    listen: {
      address,
      interface: by,
      protocol,
      announce,
      ...(protocol === 'all' ? {} : { ports: { first: ports[0], last: ports[1] } }),
    },
    targets: [{ host: '10.0.0.10', port: 8443, weight: 1 }],
    allowSources: allow,
    ...more,
  });
  return { uid: uidOf(n), generation: 3, name: `forward-${n}`, spec };
}

const plan = (all: readonly DesiredForward[], facts = FACTS) => planForwards({ desired: all, facts, capabilities: LEAST });
const verdict = (words: Words): Verdict | undefined => plan([desired(words)]).verdicts.get(uidOf(1));

describe('a forward that can be carried', () => {
  it('is placed with everything resolved', () => {
    expect(verdict({ allow: ['10.1.0.0/16', '10.1.2.0/24', '192.0.2.7'], interface: 'wan' })).toEqual({
      kind: 'place',
      clientAddress: expect.stringMatching(/^no: /),
      targets: [{ host: '10.0.0.10', address: '10.0.0.10', port: 8443 }],
      addresses: [{ address: ip('10.0.0.10'), port: 8443, weight: 1 }],
      remarks: [],
      forward: {
        uid: uidOf(1),
        generation: 3,
        key: '00000001',
        family: 4,
        listen: { address: ip('203.0.113.10'), interface: 'wan', protocol: 'tcp', ports: { first: 443, last: 443 } },
        targets: [{ address: ip('10.0.0.10'), port: 8443, weight: 1 }],
        allow: [expect.objectContaining({ network: '10.1.0.0' }), expect.objectContaining({ network: '192.0.2.7' })],
        snat: { mode: 'masquerade' },
        onChange: 'drain',
        affinity: 'none',
        clampMss: false,
        hairpin: [{ network: expect.objectContaining({ network: '10.0.0.0', prefix: 24 }), target: ip('10.0.0.10') }],
      },
    });
  });

  it.each([
    ['the listener may be an address that the gateway does not have', { address: '203.0.113.77' }],
    ['even with the port of its sshd', { address: '203.0.113.77', ports: [22, 22] }],
    ['what waits on loopback is no obstacle', { ports: [5432, 5432] }],
    ['nor what waits on another address', { ports: [8000, 8000] }],
    ['a local port may be taken over', { address: '10.0.0.1', ports: [8000, 8000], takeover: true }],
    ['the target keeps the port where none is named', { targets: [{ host: '10.0.0.10', port: 0, weight: 1 }] }],
    ['a source address of the gateway', { snat: { mode: 'address', address: '10.0.0.1' } }],
  ] as [string, Words][])('%s', (_, words) => {
    expect(verdict(words)?.kind).toBe('place');
  });

  it('takes over sshd only when it says so; nobody else is then protected from it', () => {
    const { host, verdicts } = plan([desired({ ports: [22, 22], takeover: true })]);
    expect([verdicts.get(uidOf(1))?.kind, host.protected.map((p) => p.kind)]).toEqual(['place', ['control']]);
  });

  it.each([
    ['auto', /^no: the target sees the gateway's address/],
    ['none', /^yes: .*10\.0\.0\.0\/24/],
  ] as const)('says whether the target sees the client, snat %s', (mode, text) => {
    const found = verdict({ snat: { mode, address: '' } });
    expect(found?.kind === 'place' && found.clientAddress).toMatch(text);
  });
});

describe('a forward that cannot', () => {
  const target = (host: string) => [{ host, port: 80, weight: 1 }];
  it.each([
    ['two protocols', { protocol: 'tcp+udp' }, 'NOT_SUPPORTED_YET', 'listen.protocol'],
    [
      'all protocols',
      { address: '203.0.113.77', protocol: 'all', targets: [{ host: '10.0.0.10', port: 0, weight: 1 }] },
      'NOT_SUPPORTED_YET',
      'listen.protocol',
    ],
    ['a port range', { ports: [5000, 5010] }, 'NOT_SUPPORTED_YET', 'listen.ports'],
    ['several targets', { targets: [...target('10.0.0.10'), ...target('10.0.0.11')] }, 'NOT_SUPPORTED_YET', 'targets'],
    ['IPv6', { address: '2001:db8::1', targets: target('2001:db8::2') }, 'NOT_SUPPORTED_YET', 'listen.address'],
    ['an announced address', { address: '10.0.0.77', announce: true }, 'NOT_SUPPORTED_YET', 'listen.announce'],
    ['the relay where there is none', { driver: 'relay' }, 'DRIVER_NOT_AVAILABLE', 'driver'],
    ['a loopback listener', { address: '127.0.0.5' }, 'RELAY_NEEDED', 'listen.address'],
    ['a loopback target', { targets: target('127.0.0.1') }, 'TARGET_FORBIDDEN', 'targets[0].host'],
    ['a metadata service', { targets: target('169.254.169.254') }, 'TARGET_FORBIDDEN', 'targets[0].host'],
    ['the gateway itself as target', { targets: target('10.0.0.1') }, 'TARGET_IS_GATEWAY', 'targets[0].host'],
    ['an interface that is not there', { interface: 'eth9' }, 'INTERFACE_UNKNOWN', 'listen.interface'],
    ['a foreign source address', { snat: { mode: 'address', address: '10.0.0.9' } }, 'SNAT_ADDRESS_UNKNOWN', 'snat.address'],
    ['the port of a local program', { address: '10.0.0.1', ports: [8000, 8000] }, 'PORT_IN_USE', 'listen.ports'],
    ['the same by a wildcard', { address: '', ports: [8000, 8000] }, 'PORT_IN_USE', 'listen.ports'],
    ['the port of a wildcard socket', { protocol: 'udp', ports: [53, 53] }, 'PORT_IN_USE', 'listen.ports'],
    ['the port of its sshd', { ports: [22, 22] }, 'PROTECTED', 'listen.ports'],
    ['the same by a wildcard address', { address: '', ports: [22, 22] }, 'PROTECTED', 'listen.ports'],
    ["the agent's own connection", { address: '192.0.2.7', ports: [7443, 7443] }, 'PROTECTED', 'listen.ports'],
    ['that even with takeover', { address: '192.0.2.7', ports: [7443, 7443], takeover: true }, 'PROTECTED', 'listen.ports'],
  ] as [string, Words, string, string][])('%s', (_, words, reason, field) => {
    const found = verdict(words);
    expect(found).toMatchObject({ kind: 'reject', reason, violations: [{ field: `spec.${field}` }] });
  });

  it('is told everything at once', () => {
    const found = verdict({ interface: 'eth9', ports: [22, 23], targets: target('127.0.0.1') });
    expect(found?.kind === 'reject' && found.violations.map((v) => v.field)).toEqual([
      'spec.listen.ports',
      'spec.targets[0].host',
      'spec.listen.interface',
      'spec.listen.ports',
    ]);
  });

  it('names who has the port', () => {
    const found = verdict({ address: '10.0.0.1', ports: [8000, 8000] });
    expect(found?.kind === 'reject' && found.violations[0]?.description).toContain('nginx (pid 9)');
  });
});

describe('several forwards', () => {
  it('a bad one never touches another', () => {
    const { host, verdicts } = plan([
      desired({}, 1),
      desired({ interface: 'eth9', ports: [80, 80] }, 2),
      desired({ ports: [81, 81] }, 3),
    ]);
    expect([...verdicts].map(([, v]) => v.kind)).toEqual(['place', 'reject', 'place']);
    expect(host.forwards.map((f) => f.uid)).toEqual([uidOf(1), uidOf(3)]);
  });

  it('of two for one listener the later uid is refused, whatever the order', () => {
    const [a, b] = [desired({}, 1), desired({ address: '' }, 2)];
    for (const all of [
      [a, b],
      [b, a],
    ]) {
      const { verdicts } = plan(all);
      expect([verdicts.get(a.uid)?.kind, verdicts.get(b.uid)]).toMatchObject([
        'place',
        { kind: 'reject', reason: 'LISTENER_TAKEN' },
      ]);
    }
  });

  it('one that is refused, disabled or expired takes no listener', () => {
    for (const words of [{ interface: 'eth9' }, { enabled: false }, { expires: 1_000 }]) {
      const { verdicts } = plan([desired(words, 1), desired({}, 2)]);
      expect(verdicts.get(uidOf(2))?.kind).toBe('place');
    }
    expect(verdict({ expires: 1_001 })?.kind).toBe('place');
    expect([verdict({ enabled: false })?.kind, verdict({ expires: 999 })?.kind]).toEqual(['disabled', 'expired']);
  });

  it('two with the same key cannot both be carried', () => {
    const { verdicts } = planForwards({
      desired: [desired({}, 1), desired({ ports: [80, 80] }, 2)],
      facts: FACTS,
      capabilities: LEAST,
      keyOf: () => 'cafecafe',
    });
    expect(verdicts.get(uidOf(2))).toMatchObject({ reason: 'KEY_COLLISION' });
  });

  it('every one has exactly one verdict, and no listener is carried twice', () => {
    const words = fc.record({
      address: fc.constantFrom('', '203.0.113.10', '10.0.0.1', '203.0.113.77'),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'tcp+udp' as const),
      ports: fc.integer({ min: 20, max: 24 }).map((p) => [p, p] as [number, number]),
      enabled: fc.boolean(),
      takeover: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(words, { maxLength: 8 }), (all) => {
        const forwards = all.map((w, i) => desired(w, i + 1));
        const { host, verdicts } = plan(forwards);
        expect([...verdicts.keys()].sort()).toEqual(forwards.map((f) => f.uid));
        const listeners = host.forwards.map((f) => `${f.listen.protocol} ${f.listen.ports?.first}`);
        const wild = host.forwards.filter((f) => !f.listen.address).map((f) => `${f.listen.protocol} ${f.listen.ports?.first}`);
        for (const w of wild) expect(listeners.filter((l) => l === w)).toHaveLength(1);
        expect(
          new Set(host.forwards.map((f) => `${f.listen.address?.text} ${f.listen.protocol} ${f.listen.ports?.first}`)).size,
        ).toBe(host.forwards.length);
      }),
    );
  });
});

it('WantedPorts tells which sockets matter', () => {
  const entries = [desired({ ports: [80, 82] }), desired({ protocol: 'udp', ports: [53, 53] }, 2)].map((forward) => ({
    kind: 'forward' as const,
    uid: forward.uid,
    forward,
  }));
  const ports = new WantedPorts().update(entries);
  const wanted = (of: { has(port: number): boolean }) =>
    Array.from({ length: 65_536 }, (_, port) => port).filter((p) => of.has(p));
  expect([wanted(ports.tcp), wanted(ports.udp)]).toEqual([[80, 81, 82], [53]]);
});
