import { describe, expect, it } from 'vitest';
import type { PlacedForward } from '../../planner/types.js';
import { placed } from '../../testing/placed.js';
import { forwardPart } from './elements.js';
import { six, target } from './testing.js';

const ports = (first: number, last: number): Pick<PlacedForward, 'listen'> => ({
  listen: { ...placed().listen, ports: { first, last } as NonNullable<PlacedForward['listen']['ports']> },
});

const FORWARDS: Readonly<Record<string, PlacedForward>> = {
  tcp: placed(),
  udp: placed({ protocol: 'udp' }),
  'tcp and udp': { ...placed(), listen: { ...placed().listen, protocol: 'tcp+udp' } },
  'several ports': { ...placed({ targetPort: 1000 }), ...ports(1000, 1003) },
  'ports that move': { ...placed(), ...ports(1000, 1003) },
  'several targets': { ...placed(), targets: [target('10.0.0.10:80'), target('10.0.0.11:81')] },
  'the client kept': placed({ snat: 'none', hairpin: ['10.0.0.0/24'] }),
  'a fixed source': placed({ snat: '203.0.113.10' }),
  'an interface': placed({ interface: 'dmz', address: null }),
  'the segment size lowered': { ...placed(), clampMss: true },
  'every address, an allow-list': placed({ address: null, allow: ['192.0.2.0/24'] }),
  IPv6: six(placed()),
};

describe('what a forward may share with others', () => {
  it.each(Object.entries(FORWARDS))('is the same asked for alone as beside all the rest: %s', (_, forward) => {
    // Another one in between, so that nothing is remembered.
    const another = forwardPart(placed({ uid: '00000000-0000-4000-8000-00000000ffff' }));
    const alone = forwardPart(forward).shared;
    expect(another.elements.length).toBeGreaterThan(0);
    const part = forwardPart(forward);
    expect(part.elements.length).toBeGreaterThan(0);
    expect(alone).toEqual(part.shared);
  });
});
