import { describe, expect, it } from 'vitest';
import { ip } from '../testing/placed.js';
import { cidrs, relayed, target } from './testing.js';
import { readForward, wireForward } from './wire-forward.js';

const plain = relayed({ address: '127.0.0.1', port: 8080, targets: [target('10.0.0.10', 80)] });
const full = relayed({
  port: 5000,
  last: 5009,
  interface: 'eth0',
  transports: ['tcp', 'udp'],
  targets: [target('10.0.0.10', 80, 3), target('2001:db8::1', 80)],
  down: [target('10.0.0.11', 80)],
  affinity: 'client',
  allow: cidrs('10.0.0.0/8', '2001:db8::/32'),
  source: ip('10.0.0.1'),
  onChange: 'keep',
  proxyProtocol: 'v2',
  maxConnections: 10,
  maxConnectionsPerClient: 2,
});

describe('a forward on the wire', () => {
  it.each([
    ['plain', plain],
    ['full', full],
    ['for nobody', { ...plain, allow: [] }],
  ])('arrives as it was sent: %s', (_, forward) => {
    expect(readForward(JSON.parse(wireForward(forward).json))).toEqual(forward);
  });

  it('has the same digest as an equal one, and another than one that differs in anything', () => {
    expect(wireForward(structuredClone(full)).digest).toBe(wireForward(full).digest);
    const digests = [plain, full, { ...plain, allow: [] }, { ...plain, generation: 2 }, { ...plain, onChange: 'cut' as const }];
    expect(new Set(digests.map((f) => wireForward(f).digest)).size).toBe(digests.length);
  });

  const without = (field: string) => ({ ...(JSON.parse(wireForward(plain).json) as object), [field]: undefined });
  const withOne = (field: string, value: unknown) => ({ ...(JSON.parse(wireForward(plain).json) as object), [field]: value });
  it.each([
    ['no object', 7, 'forward is'],
    ['no uid', without('uid'), 'forward.uid is missing'],
    ['a surplus field', withOne('program', '/bin/sh'), 'forward.program'],
    ['no target', withOne('targets', []), 'name at least one target'],
    ['a bad address', withOne('targets', [['10.0.0.300', 80, 1]]), 'forward.targets[0][0]'],
    ['a bad port', withOne('targets', [['10.0.0.3', 0, 1]]), 'forward.targets[0][1]'],
    ['a bad word', withOne('onChange', 'explode'), 'use drain, cut, keep'],
    ['a reversed range', withOne('listen', { families: [4], transports: ['tcp'], first: 9, last: 8 }), 'reversed'],
    ['no transport', withOne('listen', { families: [4], transports: [], first: 8, last: 8 }), 'forward.listen.transports'],
  ])('is refused: %s', (_, value, message) => {
    expect(() => readForward(value)).toThrow(message);
  });
});
