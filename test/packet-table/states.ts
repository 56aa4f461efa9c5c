import type { ForwardOptions } from './forwards.js';
import { forward } from './forwards.js';
import type { WantedForward } from './gateway-protocol.js';
import type { TableHost } from './topology.js';

/** A packet that is sent, and what becomes of it. */
export interface Row {
  readonly from: TableHost;
  /** Default: as the route says. */
  readonly source?: string;
  readonly proto: 'tcp' | 'udp';
  readonly to: string;
  readonly port: number;
  /** Where it arrives and from which source address, as the server there says; or how there was no answer. */
  readonly result: { readonly at: string; readonly seenAs: string } | 'timeout' | 'refused';
}

/** Forwards, what the planner says of each, and what packets do while they are in place. */
export interface State {
  readonly name: string;
  readonly forwards: readonly WantedForward[];
  /** Of forwards that are not placed: the reason. */
  readonly refused?: Readonly<Record<string, string>>;
  readonly rows: readonly Row[];
}

/** What listens in every state, beside sshd's place on the gateway (port 22) and a local service there (port 8000). */
export const SERVERS = {
  srv: [
    ...both('10.0.0.10', 8443),
    ...both('10.0.0.10', 80),
    ...both('10.0.0.20', 5353),
    ...both('10.0.0.20', 53),
    ...both('10.0.0.50', 53),
    ...both('10.0.0.50', 9999),
  ],
  off: both('10.0.0.60', 80),
  gw: [
    { proto: 'tcp', address: '0.0.0.0', port: 22 },
    { proto: 'tcp', address: '198.51.100.1', port: 8000 },
  ],
} as const;

function both(address: string, port: number) {
  return (['tcp', 'udp'] as const).map((proto) => ({ proto, address, port }));
}

const row = (from: TableHost, proto: 'tcp' | 'udp', to: string, result: Row['result'], source?: string): Row => {
  const [address = '', port] = to.split(':');
  return { from, proto, to: address, port: Number(port), result, ...(source === undefined ? {} : { source }) };
};
const at = (where: string, seenAs: string) => ({ at: where, seenAs });
const https = (options: ForwardOptions = {}) => forward('203.0.113.10:443/tcp', '10.0.0.10:8443', options);
const dns = (options: ForwardOptions = {}) => forward('53/udp', '10.0.0.20:5353', options);

/**
 * The table. All of it holds while another tool drops by default in the forward hook, accepting only what goes to and comes from
 * 10.0.0.50. A new driver must give the same answers.
 */
export const STATES: readonly State[] = [
  {
    name: 'nothing wanted',
    forwards: [],
    rows: [
      row('cli', 'tcp', '203.0.113.10:443', 'refused'),
      row('cli', 'udp', '203.0.113.10:443', 'refused'),
      row('cli', 'tcp', '10.0.0.10:8443', 'timeout'),
      row('cli', 'tcp', '10.0.0.50:9999', at('10.0.0.50:9999', '198.51.100.2')),
    ],
  },
  {
    name: 'a listener address, TCP, masqueraded',
    forwards: [https()],
    rows: [
      row('cli', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1')),
      row('cli', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1'), '198.51.100.66'),
      row('dmz', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1')),
      // Only this address, port and protocol.
      row('cli', 'udp', '203.0.113.10:443', 'refused'),
      row('cli', 'tcp', '203.0.113.10:444', 'refused'),
      row('cli', 'tcp', '198.51.100.1:443', 'refused'),
      // The target is reached by the listener, not past it.
      row('cli', 'tcp', '10.0.0.10:8443', 'timeout'),
      row('cli', 'tcp', '10.0.0.10:80', 'timeout'),
      // What others forward is still forwarded.
      row('cli', 'tcp', '10.0.0.50:9999', at('10.0.0.50:9999', '198.51.100.2')),
      // From the gateway itself, from the target's network, and from the target.
      row('gw', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1')),
      row('srv', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1'), '10.0.0.31'),
      row('srv', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1'), '10.0.0.10'),
      row('gw', 'tcp', '127.0.0.1:443', 'refused'),
    ],
  },
  {
    name: 'masqueraded to a target without a route back',
    forwards: [forward('203.0.113.10:80/tcp', '10.0.0.60:80'), forward('203.0.113.10:80/udp', '10.0.0.60:80')],
    rows: [
      row('cli', 'tcp', '203.0.113.10:80', at('10.0.0.60:80', '10.0.0.1')),
      row('cli', 'udp', '203.0.113.10:80', at('10.0.0.60:80', '10.0.0.1')),
    ],
  },
  {
    name: 'source address kept, to a target without a route back',
    forwards: [forward('203.0.113.10:80/tcp', '10.0.0.60:80', { snat: 'none' })],
    rows: [
      row('cli', 'tcp', '203.0.113.10:80', 'timeout'),
      // Its own network and the gateway it does reach, so there the gateway stands in.
      row('srv', 'tcp', '203.0.113.10:80', at('10.0.0.60:80', '10.0.0.1'), '10.0.0.20'),
      row('gw', 'tcp', '203.0.113.10:80', at('10.0.0.60:80', '10.0.0.1')),
    ],
  },
  {
    name: 'source address kept, to a target that routes back',
    forwards: [https({ snat: 'none' })],
    rows: [
      row('cli', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '198.51.100.2')),
      row('cli', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '198.51.100.66'), '198.51.100.66'),
      row('dmz', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '192.0.2.9')),
      row('srv', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1'), '10.0.0.20'),
      row('srv', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1'), '10.0.0.10'),
      row('gw', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1')),
    ],
  },
  {
    name: 'a fixed source address',
    forwards: [https({ snat: '10.0.0.2' }), forward('203.0.113.10:53/udp', '10.0.0.20:5353', { snat: '10.0.0.2' })],
    rows: [
      row('cli', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.2')),
      row('cli', 'udp', '203.0.113.10:53', at('10.0.0.20:5353', '10.0.0.2')),
      row('srv', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.2'), '10.0.0.10'),
      row('gw', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.2')),
    ],
  },
  {
    name: 'an allow-list',
    forwards: [
      https({ allow: ['198.51.100.0/26', '192.0.2.9'] }),
      forward('203.0.113.10:53/udp', '10.0.0.20:5353', { allow: ['198.51.100.3/32'] }),
    ],
    rows: [
      row('cli', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1')),
      row('cli', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1'), '198.51.100.3'),
      row('cli', 'tcp', '203.0.113.10:443', 'timeout', '198.51.100.66'),
      row('dmz', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1')),
      row('srv', 'tcp', '203.0.113.10:443', 'timeout', '10.0.0.20'),
      row('cli', 'udp', '203.0.113.10:53', 'timeout'),
      row('cli', 'udp', '203.0.113.10:53', at('10.0.0.20:5353', '10.0.0.1'), '198.51.100.3'),
      // Whoever is on the gateway is no outsider.
      row('gw', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1')),
      // The list is the listener's alone.
      row('cli', 'tcp', '203.0.113.10:444', 'refused', '198.51.100.66'),
      row('cli', 'tcp', '10.0.0.50:9999', at('10.0.0.50:9999', '198.51.100.66'), '198.51.100.66'),
    ],
  },
  {
    name: 'an allow-list that names everybody',
    forwards: [https({ allow: ['0.0.0.0/0'] })],
    rows: [row('cli', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1'), '198.51.100.66')],
  },
  {
    name: 'every address of the gateway, UDP, masqueraded',
    forwards: [dns()],
    rows: [
      row('cli', 'udp', '198.51.100.1:53', at('10.0.0.20:5353', '10.0.0.1')),
      row('cli', 'udp', '203.0.113.10:53', at('10.0.0.20:5353', '10.0.0.1')),
      row('dmz', 'udp', '192.0.2.1:53', at('10.0.0.20:5353', '10.0.0.1')),
      row('srv', 'udp', '10.0.0.1:53', at('10.0.0.20:5353', '10.0.0.1'), '10.0.0.31'),
      row('gw', 'udp', '198.51.100.1:53', at('10.0.0.20:5353', '10.0.0.1')),
      row('gw', 'udp', '127.0.0.1:53', 'refused'),
      row('cli', 'tcp', '198.51.100.1:53', 'refused'),
      // Traffic that only passes through is not taken, nor sent from the gateway to others.
      row('cli', 'udp', '10.0.0.50:53', at('10.0.0.50:53', '198.51.100.2')),
      row('gw', 'udp', '10.0.0.50:53', at('10.0.0.50:53', '10.0.0.1')),
      // Nor what is sent to an address that is not the gateway's.
      row('cli', 'udp', '203.0.113.77:53', 'timeout'),
    ],
  },
  {
    name: 'every address of the gateway, TCP, source address kept',
    forwards: [forward('9999/tcp', '10.0.0.10:80', { snat: 'none', allow: ['198.51.100.0/24', '10.0.0.0/24'] })],
    rows: [
      row('cli', 'tcp', '198.51.100.1:9999', at('10.0.0.10:80', '198.51.100.2')),
      row('cli', 'tcp', '203.0.113.10:9999', at('10.0.0.10:80', '198.51.100.2')),
      row('dmz', 'tcp', '192.0.2.1:9999', 'timeout'),
      row('srv', 'tcp', '10.0.0.1:9999', at('10.0.0.10:80', '10.0.0.1'), '10.0.0.20'),
      row('gw', 'tcp', '198.51.100.1:9999', at('10.0.0.10:80', '10.0.0.1')),
      row('cli', 'tcp', '10.0.0.50:9999', at('10.0.0.50:9999', '198.51.100.2')),
    ],
  },
  {
    name: 'an interface',
    forwards: [
      forward('8080/tcp', '10.0.0.10:80', { interface: 'dmz' }),
      forward('203.0.113.10:8081/tcp', '10.0.0.10:80', { interface: 'wan' }),
    ],
    rows: [
      row('dmz', 'tcp', '192.0.2.1:8080', at('10.0.0.10:80', '10.0.0.1')),
      row('dmz', 'tcp', '203.0.113.10:8080', at('10.0.0.10:80', '10.0.0.1')),
      row('cli', 'tcp', '198.51.100.1:8080', 'refused'),
      row('gw', 'tcp', '192.0.2.1:8080', 'refused'),
      row('cli', 'tcp', '203.0.113.10:8081', at('10.0.0.10:80', '10.0.0.1')),
      row('dmz', 'tcp', '203.0.113.10:8081', 'refused'),
    ],
  },
  {
    name: 'an address that the gateway does not have',
    forwards: [forward('203.0.113.77:80/tcp', '10.0.0.10:80'), forward('203.0.113.77:22/tcp', '10.0.0.50:9999')],
    rows: [
      row('cli', 'tcp', '203.0.113.77:80', at('10.0.0.10:80', '10.0.0.1')),
      row('cli', 'tcp', '203.0.113.77:22', at('10.0.0.50:9999', '10.0.0.1')),
      row('cli', 'tcp', '203.0.113.10:22', at('203.0.113.10:22', '198.51.100.2')),
    ],
  },
  {
    name: 'one port for TCP and UDP, each its own way',
    forwards: [
      forward('203.0.113.10:53/tcp', '10.0.0.20:53'),
      forward('203.0.113.10:53/udp', '10.0.0.20:5353', { snat: 'none' }),
    ],
    rows: [
      row('cli', 'tcp', '203.0.113.10:53', at('10.0.0.20:53', '10.0.0.1')),
      row('cli', 'udp', '203.0.113.10:53', at('10.0.0.20:5353', '198.51.100.2')),
    ],
  },
  {
    name: 'disabled and expired forwards',
    forwards: [https({ enabled: false }), forward('203.0.113.10:80/tcp', '10.0.0.10:80', { expires: 1000 })],
    refused: { '203.0.113.10:443/tcp': 'disabled', '203.0.113.10:80/tcp': 'expired' },
    rows: [row('cli', 'tcp', '203.0.113.10:443', 'refused'), row('cli', 'tcp', '203.0.113.10:80', 'refused')],
  },
  {
    name: 'ports of the gateway itself, beside a good forward',
    forwards: [
      forward('22/tcp', '10.0.0.10:80'),
      forward('203.0.113.10:22/tcp', '10.0.0.10:80'),
      forward('198.51.100.1:8000/tcp', '10.0.0.10:80'),
      https(),
    ],
    refused: { '22/tcp': 'PROTECTED', '203.0.113.10:22/tcp': 'PROTECTED', '198.51.100.1:8000/tcp': 'PORT_IN_USE' },
    rows: [
      row('cli', 'tcp', '203.0.113.10:22', at('203.0.113.10:22', '198.51.100.2')),
      row('cli', 'tcp', '198.51.100.1:22', at('198.51.100.1:22', '198.51.100.2')),
      row('cli', 'tcp', '198.51.100.1:8000', at('198.51.100.1:8000', '198.51.100.2')),
      row('cli', 'tcp', '203.0.113.10:443', at('10.0.0.10:8443', '10.0.0.1')),
    ],
  },
  {
    name: 'ports of the gateway itself, taken over',
    forwards: [
      forward('203.0.113.10:22/tcp', '10.0.0.10:80', { takeover: true }),
      forward('198.51.100.1:8000/tcp', '10.0.0.10:80', { takeover: true }),
    ],
    rows: [
      row('cli', 'tcp', '203.0.113.10:22', at('10.0.0.10:80', '10.0.0.1')),
      row('cli', 'tcp', '198.51.100.1:22', at('198.51.100.1:22', '198.51.100.2')),
      row('cli', 'tcp', '198.51.100.1:8000', at('10.0.0.10:80', '10.0.0.1')),
    ],
  },
];
