import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlowIndex } from './flow-index.js';
import { type Flow, type FlowMatch, matches } from './flows.js';

const flow = (over: Partial<Flow> = {}, port = 5003, target = 7003): Flow => ({
  protocol: 'tcp',
  state: 'ESTABLISHED',
  original: { source: '198.51.100.2', destination: '203.0.113.10', sourcePort: 40000, destinationPort: port },
  reply: { source: '10.0.0.10', destination: '10.0.0.1', sourcePort: target, destinationPort: 40000 },
  mark: 0,
  ...over,
});
const listener = { protocol: 'tcp', address: '203.0.113.10', ports: { first: 5000, last: 5009 } } as const;
const shifted = { address: '10.0.0.10', ports: { first: 7000, last: 7009 } };
const ping: Flow = {
  protocol: 1,
  original: { source: '198.51.100.2', destination: '203.0.113.50', sourcePort: 0, destinationPort: 0 },
  reply: { source: '10.0.0.50', destination: '198.51.100.2', sourcePort: 0, destinationPort: 0 },
  mark: 0,
};
const vip = { protocol: 'any', address: '203.0.113.50' } as const;

describe('a flow is meant', () => {
  it.each<[string, Flow, FlowMatch, boolean]>([
    ['within a range of ports', flow(), listener, true],
    ['not beyond it', flow({}, 5010), listener, false],
    ['by ports and no address', flow(), { protocol: 'tcp', ports: listener.ports }, true],
    ['where it goes to the same place in the target range', flow(), { ...listener, to: shifted }, true],
    ['not where it goes to another place in it', flow({}, 5003, 7004), { ...listener, to: shifted }, false],
    ['where it goes to one port for the whole range', flow(), { ...listener, to: { address: '10.0.0.10', port: 7003 } }, true],
    ['where it goes to any port of an address', flow({}, 5003, 9), { ...listener, to: { address: '10.0.0.10' } }, true],
    ['not where it goes to one of several', flow(), { ...listener, notTo: [{ address: '10.0.0.9' }, shifted] }, false],
    ['where it goes to none of several', flow(), { ...listener, notTo: [{ address: '10.0.0.9' }] }, true],
    ['where nobody is spared', flow(), { ...listener, notTo: [] }, true],
    ['of any protocol by its address alone', ping, vip, true],
    ['of any protocol by its target', ping, { ...vip, notTo: { address: '10.0.0.50' } }, false],
    ['not without ports where ports are asked for', ping, { ...vip, ports: { first: 0, last: 65535 } }, false],
    ['not of another family', flow({ family: 6 }), { protocol: 'any', ports: listener.ports }, false],
    ['not of another protocol', ping, { ...vip, protocol: 'udp' }, false],
    ['from outside the allowed networks', flow(), { ...listener, sourcesOutside: ['198.51.100.0/31'] }, true],
    ['not from inside them', flow(), { ...listener, sourcesOutside: ['198.51.100.0/24'] }, false],
  ])('%s', (_, one, match, expected) => {
    expect(matches(one, match)).toBe(expected);
    expect(new FlowIndex([match]).of(one)).toEqual(expected ? [match] : []);
  });
});

describe('the index', () => {
  const port = fc.integer({ min: 1, max: 400 });
  const address = fc.constantFrom('203.0.113.10', '203.0.113.11', 'fd00::1');
  const range = fc.tuple(port, fc.nat(200)).map(([first, width]) => ({ first, last: first + width }));
  const family = fc.constantFrom(4 as const, 6 as const, undefined);
  const match = fc.record(
    {
      family,
      protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'any' as const),
      address,
      port,
      ports: range,
      notTo: fc.record({ address: fc.constantFrom('10.0.0.10', '10.0.0.11'), ports: range }, { requiredKeys: ['address'] }),
    },
    { requiredKeys: ['protocol'] },
  ) as fc.Arbitrary<FlowMatch>;
  const flows = fc.record({
    family,
    protocol: fc.constantFrom('tcp' as const, 'udp' as const, 1),
    destination: address,
    port: fc.nat(450),
    target: fc.nat(450),
  });

  it('finds what a walk over everything finds, and nothing twice', () => {
    fc.assert(
      fc.property(fc.array(match, { maxLength: 20 }), flows, (wanted, f) => {
        const one = flow({ ...(f.family ? { family: f.family } : {}), protocol: f.protocol }, f.port, f.target);
        const meant: Flow = { ...one, original: { ...one.original, destination: f.destination } };
        const index = new FlowIndex(wanted);
        const found = index.of(meant);
        const order = (list: readonly FlowMatch[]) => list.map((m) => wanted.indexOf(m)).sort((a, b) => a - b);
        expect(order(found)).toEqual(order(wanted.filter((m) => matches(meant, m))));
        const { destination, destinationPort } = meant.original;
        if (found.length > 0) expect(index.concerns({ family: meant.family ?? 4, destination, destinationPort })).toBe(true);
      }),
    );
  });
});
