import { type TrafficWords, traffic } from '@gwctl/shared/testing/traffic';
import { describe, expect, it } from 'vitest';
import { uidOf } from '../testing/forwards.js';
import { EVERYTHING, FACTS } from '../testing/gateway.js';
import { cidr, ip } from '../testing/placed.js';
import { NO_LIMITS, planForwards } from '../testing/plan-forwards.js';
import type { PolicyCheck } from './planner.js';
import type { Carriers, DesiredForward, HostFacts, Resolution, Verdict } from './types.js';

const RELAY = { families: [4, 6], targets: 64, announce: true } as const;
const BOTH: Carriers = { kernel: EVERYTHING, relay: RELAY };
const ALONE: Carriers = { relay: { ...RELAY, announce: false }, without: 'nft: Operation not permitted' };

/** With programs of others. */
const CROWDED: HostFacts = {
  ...FACTS,
  sockets: [
    { protocol: 'tcp', address: ip('127.0.0.1'), port: 5432, owner: 'postgres (pid 9)' },
    { protocol: 'tcp', port: 8000, owner: 'nginx (pid 10)' },
  ],
};

const LOCAL = new Set(['127.0.0.1', '10.0.0.1']);
/** Names addresses of the gateway itself. */
const NAMES_LOCAL: PolicyCheck = { ...NO_LIMITS, permitsLocal: (a) => LOCAL.has(a.text) };

type Words = Omit<TrafficWords, 'targets'> & { readonly target?: string; readonly port?: number };

/** By default tcp 198.51.100.1:443 to 10.0.0.10:8443. */
function wanted({ listen, target = '10.0.0.10', port = 8443, ...more }: Words = {}, n = 1): DesiredForward {
  const all = listen?.protocol === 'all';
  const spec = traffic({
    listen: { address: '198.51.100.1', ...(all ? {} : { ports: { first: 443, last: 443 } }), ...listen },
    targets: [{ host: target, port: all ? 0 : port, weight: 1 }],
    ...more,
  });
  return { uid: uidOf(n), generation: 1, name: `f${n}`, spec };
}

const planned = (
  desired: readonly DesiredForward[],
  { carriers = BOTH, policy = NAMES_LOCAL, names = new Map<string, Resolution>() } = {},
) => planForwards({ desired, facts: CROWDED, capabilities: carriers, policy, names });
const verdict = (words: Words, more: Parameters<typeof planned>[1] = {}): Verdict | undefined =>
  planned([wanted(words)], more).verdicts.get(uidOf(1));

describe('who carries a forward', () => {
  it('is the kernel wherever it can', () => {
    expect(verdict({})).toMatchObject({ kind: 'place' });
    expect(verdict({ driver: 'kernel' })).toMatchObject({ kind: 'place' });
    expect(verdict({ snat: { mode: 'none', address: '' } })).toMatchObject({ kind: 'place' });
  });

  it('is the relay where the forward asks for it', () => {
    expect(verdict({ driver: 'relay' })).toMatchObject({
      kind: 'relay',
      reason: 'RELAY_CHOSEN',
      because: expect.stringContaining('driver relay'),
    });
  });

  it('is the relay with the options that need it as the reason, which come with its name whatever the forward says', () => {
    expect(verdict({ driver: 'relay', relay: { maxConnections: 5 } })).toMatchObject({
      kind: 'relay',
      reason: 'RELAY_NEEDED',
      because: expect.stringMatching(/count/),
    });
  });

  it('is the relay where there is nothing else, with the reason', () => {
    expect(verdict({}, { carriers: ALONE })).toMatchObject({
      kind: 'relay',
      reason: 'RELAY_ONLY',
      because: expect.stringContaining('Operation not permitted'),
    });
  });

  it.each([
    ['a listener on loopback', { listen: { address: '127.0.0.1' } }, /loopback/],
    ['a target on loopback that the policy names', { target: '127.0.0.1' }, /loopback/],
    ['the gateway itself, named by the policy', { target: '10.0.0.1' }, /the gateway itself/],
    ['a target of the other family', { target: '2001:db8:1::10' }, /IPv6/],
    ['the PROXY protocol', { relay: { proxyProtocol: 'v2' } }, /PROXY/],
    ['a limit of connections', { relay: { maxConnections: 5 } }, /count/],
  ] as [string, Words, RegExp][])('is the relay for %s', (_, words, why) => {
    expect(verdict(words)).toMatchObject({ kind: 'relay', reason: 'RELAY_NEEDED', because: expect.stringMatching(why) });
  });

  it('is the relay where a kernel driver lacks what is asked for', () => {
    const carriers = { relay: RELAY, kernel: { ...EVERYTHING, families: [4] as const, targets: 1 } };
    expect(verdict({ listen: { address: '2001:db8::1' }, target: '2001:db8:1::1' }, { carriers })).toMatchObject({
      kind: 'relay',
    });
  });

  it('is the relay for names that lead to the other family only, and the kernel again when they do not', () => {
    const known = (...addresses: string[]) => new Map([['db.example', { addresses: addresses.map(ip), fresh: true }]]);
    const words = { target: 'db.example' };
    expect(verdict(words, { names: known('2001:db8:1::1') })).toMatchObject({
      kind: 'relay',
      because: expect.stringMatching(/IPv6 addresses only/),
      forward: { targets: [{ address: ip('2001:db8:1::1'), port: 8443 }] },
    });
    expect(verdict(words, { names: known('10.0.0.10', '2001:db8:1::1') })).toMatchObject({ kind: 'place' });
    expect(verdict(words, { names: new Map() })).toMatchObject({ kind: 'wait' });
  });
});

describe('what the relay cannot do is refused with the reason', () => {
  it.each([
    ['a whole address', { listen: { protocol: 'all', address: '198.51.100.99' } }, 'listen.protocol', /1:1 NAT/],
    ["the client's address", { snat: { mode: 'none', address: '' } }, 'snat.mode', /PROXY protocol/],
    ['FTP', { helper: 'ftp', listen: { ports: { first: 21, last: 21 } } }, 'helper', /FTP/],
    ['the segment size', { clampMss: true }, 'clamp_mss', /segment size/],
  ] as [string, Words, string, RegExp][])('%s', (_, words, field, description) => {
    const violations = expect.arrayContaining([{ field: `spec.${field}`, description: expect.stringMatching(description) }]);
    expect(verdict({ driver: 'relay', ...words })).toMatchObject({ kind: 'reject', reason: 'RELAY_CANNOT', violations });
    expect(verdict(words, { carriers: ALONE })).toMatchObject({ kind: 'reject', reason: 'RELAY_CANNOT', violations });
    expect(verdict(words)).toMatchObject({ kind: 'place' });
  });

  it('together with what keeps the kernel from it, where neither can', () => {
    const words = { snat: { mode: 'none', address: '' }, listen: { address: '127.0.0.1' } } as const;
    expect(verdict(words)).toMatchObject({
      kind: 'reject',
      violations: expect.arrayContaining([
        expect.objectContaining({ field: 'spec.snat.mode' }),
        expect.objectContaining({ field: 'spec.listen.address' }),
      ]),
    });
  });

  it.each([
    ['kernel', ALONE],
    ['relay', { kernel: EVERYTHING }],
  ] as const)('driver %s where it is not there', (driver, carriers) => {
    expect(verdict({ driver }, { carriers })).toMatchObject({ kind: 'reject', reason: 'DRIVER_NOT_AVAILABLE' });
  });

  it.each([
    ['an address of nobody', { listen: { address: '198.51.100.77' } }, 'ADDRESS_UNKNOWN'],
    ['an interface of nobody', { listen: { interface: 'dmz' } }, 'INTERFACE_UNKNOWN'],
    ["the gateway's sshd", { listen: { ports: { first: 22, last: 22 } } }, 'PROTECTED'],
    ['the port of a local program', { listen: { ports: { first: 8000, last: 8000 } } }, 'PORT_IN_USE'],
    [
      'a port in use on loopback, by loopback',
      { listen: { address: '127.0.0.1', ports: { first: 5432, last: 5432 } } },
      'PORT_IN_USE',
    ],
    [
      'a port in use on loopback, by every address',
      { listen: { address: '', ports: { first: 5432, last: 5432 } } },
      'PORT_IN_USE',
    ],
    ['what leads back to itself', { listen: { address: '' }, target: '10.0.0.1', port: 443 }, 'TARGET_IS_LISTENER'],
    [
      'what leads back to itself by an address that is announced for it',
      { listen: { address: '10.0.0.77', announce: true }, target: '10.0.0.77', port: 443 },
      'TARGET_IS_LISTENER',
    ],
    ['a metadata service', { target: '169.254.169.254' }, 'TARGET_FORBIDDEN'],
  ] as [string, Words, string][])('%s', (_, words, reason) => {
    expect(verdict({ driver: 'relay', ...words })).toMatchObject({ kind: 'reject', reason });
  });

  it.each(['127.0.0.1', '10.0.0.1'])('%s as a target that the policy does not name', (target) => {
    expect(verdict({ target, driver: 'relay' }, { policy: NO_LIMITS })).toMatchObject({
      kind: 'reject',
      violations: [{ field: 'spec.targets[0].host', description: expect.stringContaining('targets.allow') }],
    });
    expect(verdict({ target }, { policy: NO_LIMITS })?.kind).toBe('reject');
  });
});

describe('a name as a target', () => {
  const at = (text: string) => ({ addresses: [ip(text)], fresh: true });
  const resolved = (address: string, port: number, more: Words = {}) =>
    verdict({ driver: 'relay', target: 'app.example', port, ...more }, { names: new Map([['app.example', at(address)]]) });

  it('never leads back to the listener, whatever its DNS says', () => {
    const everywhere = { listen: { address: '' } };
    expect(resolved('10.0.0.1', 443, everywhere)).toMatchObject({
      kind: 'wait',
      remarks: [{ reason: 'TARGET_FORBIDDEN', message: expect.stringContaining("the forward's own listener") }],
    });
    expect(resolved('127.0.0.1', 443, everywhere)?.kind).toBe('wait');
    expect(resolved('198.51.100.7', 443, everywhere)?.kind).toBe('relay');
    expect(resolved('10.0.0.1', 8443, everywhere)?.kind).toBe('relay');
    expect(resolved('10.0.0.1', 443)?.kind).toBe('relay');
  });
});

describe('what the relay is to carry', () => {
  it('has everything resolved, with the defaults of times', () => {
    const found = verdict({
      driver: 'relay',
      allowSources: ['192.0.2.0/24'],
      listen: { interface: 'wan', ports: { first: 100, last: 110 } },
    });
    expect(found).toMatchObject({
      kind: 'relay',
      clientAddress: expect.stringMatching(/^no: the target sees the gateway's address/),
      targets: [{ host: '10.0.0.10', address: '10.0.0.10', port: 8443 }],
      remarks: [],
    });
    expect(found?.kind === 'relay' && found.forward).toEqual({
      uid: uidOf(1),
      generation: 1,
      key: '00000001',
      listen: {
        address: ip('198.51.100.1'),
        families: [4],
        interface: 'wan',
        transports: ['tcp'],
        ports: { first: 100, last: 110 },
      },
      targets: [{ address: ip('10.0.0.10'), port: 8443, weight: 1 }],
      down: [],
      affinity: 'none',
      // With whoever is on the gateway itself.
      allow: ['127.0.0.0/8', '192.0.2.0/24', '10.0.0.1/32', '198.51.100.1/32'].map(cidr),
      onChange: 'drain',
      connectTimeout: 5_000,
      tcpIdleTimeout: 86_400_000,
      udpIdleTimeout: 60_000,
    });
  });

  it('says how the target learns the client', () => {
    const relay = { proxyProtocol: 'v1' } as const;
    expect(verdict({ relay })).toMatchObject({ clientAddress: expect.stringMatching(/^by the PROXY protocol header \(v1\)/) });
    const snat = { mode: 'address', address: '10.0.0.1' } as const;
    expect(verdict({ driver: 'relay', snat })).toMatchObject({
      clientAddress: expect.stringContaining('10.0.0.1'),
      forward: { source: ip('10.0.0.1') },
    });
  });

  it('behind every address is both families, and keeps the other family from having the port too', () => {
    const four = wanted({ driver: 'relay', listen: { address: '' } }, 1);
    const six = wanted({ target: '2001:db8:1::1', listen: { address: '2001:db8::1' } }, 2);
    const [first, second] = [...planned([four, six]).judgements].map((j) => j.verdict);
    expect(first).toMatchObject({ kind: 'relay', forward: { listen: { families: [4, 6] } } });
    expect(second).toMatchObject({ kind: 'reject', reason: 'LISTENER_TAKEN' });
  });

  it('announces an address that must be there before the relay listens', () => {
    const { host } = planned([wanted({ driver: 'relay', listen: { address: '10.0.0.77', announce: true } })]);
    expect(host.announced).toEqual([{ address: ip('10.0.0.77'), interface: 'lan', forwards: ['00000001'], bound: true }]);
    expect([...host.relayed]).toHaveLength(1);
  });
});
