import { byUid, type ForwardOptions, forward } from '../forwards.js';
import { join, type Net } from '../net.js';
import { at, row, type State } from '../rows.js';

/** Where traffic enters: an address, every address, an interface, an address that the gateway does not have. */
export function listeners(n: Net): readonly State[] {
  const https = (options: ForwardOptions = {}) => forward(`${join(n.vip, 443)}/tcp`, join(n.t10, 8443), options);
  return [
    {
      name: 'nothing wanted',
      forwards: [],
      rows: [
        row('cli', 'tcp', n.vip, 443, 'refused'),
        row('cli', 'udp', n.vip, 443, 'refused'),
        row('cli', 'tcp', n.t10, 8443, 'timeout'),
        row('cli', 'tcp', n.t50, 9999, at(n.t50, 9999, n.cli)),
        row('cli', 'icmp', n.vip, 0, 'the gateway'),
      ],
    },
    {
      name: 'a listener address, TCP, masqueraded',
      forwards: [https()],
      rows: [
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan), n.cli66),
        row('dmz', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
        // Only this address, port and protocol.
        row('cli', 'udp', n.vip, 443, 'refused'),
        row('cli', 'tcp', n.vip, 444, 'refused'),
        row('cli', 'tcp', n.wan, 443, 'refused'),
        row('cli', 'icmp', n.vip, 0, 'the gateway'),
        // The target is reached by the listener, not past it.
        row('cli', 'tcp', n.t10, 8443, 'timeout'),
        row('cli', 'tcp', n.t10, 80, 'timeout'),
        row('cli', 'icmp', n.t10, 0, 'timeout'),
        // What others forward is still forwarded.
        row('cli', 'tcp', n.t50, 9999, at(n.t50, 9999, n.cli)),
        // From the gateway itself, from the target's network, and from the target.
        row('gw', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
        row('srv', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan), n.t31),
        row('srv', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan), n.t10),
        row('gw', 'tcp', n.loopback, 443, 'refused'),
      ],
    },
    {
      name: 'every address of the gateway, UDP, masqueraded',
      forwards: [forward('53/udp', join(n.t20, 5353))],
      rows: [
        row('cli', 'udp', n.wan, 53, at(n.t20, 5353, n.lan)),
        row('cli', 'udp', n.vip, 53, at(n.t20, 5353, n.lan)),
        row('dmz', 'udp', n.dmzGw, 53, at(n.t20, 5353, n.lan)),
        row('srv', 'udp', n.lan, 53, at(n.t20, 5353, n.lan), n.t31),
        row('gw', 'udp', n.wan, 53, at(n.t20, 5353, n.lan)),
        row('gw', 'udp', n.loopback, 53, 'refused'),
        row('cli', 'tcp', n.wan, 53, 'refused'),
        // Traffic that only passes through is not taken, nor sent from the gateway to others.
        row('cli', 'udp', n.t50, 53, at(n.t50, 53, n.cli)),
        row('gw', 'udp', n.t50, 53, at(n.t50, 53, n.lan)),
        // Nor what is sent to an address that is not the gateway's.
        row('cli', 'udp', n.nobody, 53, 'timeout'),
      ],
    },
    {
      name: 'every address of the gateway, TCP, source address kept',
      forwards: [forward('9999/tcp', join(n.t10, 80), { snat: 'none', allow: [n.wanNet, n.lanNet] })],
      rows: [
        row('cli', 'tcp', n.wan, 9999, at(n.t10, 80, n.cli)),
        row('cli', 'tcp', n.vip, 9999, at(n.t10, 80, n.cli)),
        row('dmz', 'tcp', n.dmzGw, 9999, 'timeout'),
        row('srv', 'tcp', n.lan, 9999, at(n.t10, 80, n.lan), n.t20),
        row('gw', 'tcp', n.wan, 9999, at(n.t10, 80, n.lan)),
        row('cli', 'tcp', n.t50, 9999, at(n.t50, 9999, n.cli)),
      ],
    },
    {
      name: 'an interface',
      forwards: [
        forward('8080/tcp', join(n.t10, 80), { interface: 'dmz' }),
        forward(`${join(n.vip, 8081)}/tcp`, join(n.t10, 80), { interface: 'wan' }),
      ],
      rows: [
        row('dmz', 'tcp', n.dmzGw, 8080, at(n.t10, 80, n.lan)),
        row('dmz', 'tcp', n.vip, 8080, at(n.t10, 80, n.lan)),
        row('cli', 'tcp', n.wan, 8080, 'refused'),
        row('gw', 'tcp', n.dmzGw, 8080, 'refused'),
        row('cli', 'tcp', n.vip, 8081, at(n.t10, 80, n.lan)),
        row('dmz', 'tcp', n.vip, 8081, 'refused'),
      ],
    },
    {
      name: 'an address that the gateway does not have',
      forwards: [forward(`${join(n.nobody, 80)}/tcp`, join(n.t10, 80)), forward(`${join(n.nobody, 22)}/tcp`, join(n.t50, 9999))],
      rows: [
        row('cli', 'tcp', n.nobody, 80, at(n.t10, 80, n.lan)),
        row('cli', 'tcp', n.nobody, 22, at(n.t50, 9999, n.lan)),
        row('cli', 'tcp', n.vip, 22, at(n.vip, 22, n.cli)),
      ],
    },
    {
      name: 'one port for TCP and UDP, each its own way',
      forwards: [
        forward(`${join(n.vip, 53)}/tcp`, join(n.t20, 53)),
        forward(`${join(n.vip, 53)}/udp`, join(n.t20, 5353), { snat: 'none' }),
      ],
      rows: [row('cli', 'tcp', n.vip, 53, at(n.t20, 53, n.lan)), row('cli', 'udp', n.vip, 53, at(n.t20, 5353, n.cli))],
    },
    {
      name: 'one forward for TCP and UDP',
      forwards: [
        forward(`${join(n.vip, 53)}/tcp+udp`, join(n.t20, 5353)),
        forward('5354/tcp+udp', join(n.t20, 53), { snat: 'none', allow: [n.half] }),
      ],
      rows: [
        row('cli', 'tcp', n.vip, 53, at(n.t20, 5353, n.lan)),
        row('cli', 'udp', n.vip, 53, at(n.t20, 5353, n.lan)),
        row('cli', 'tcp', n.wan, 5354, at(n.t20, 53, n.cli)),
        row('cli', 'udp', n.wan, 5354, at(n.t20, 53, n.cli)),
        row('cli', 'tcp', n.wan, 5354, 'timeout', n.cli66),
        row('cli', 'udp', n.wan, 5354, 'timeout', n.cli66),
        row('srv', 'udp', n.vip, 53, at(n.t20, 5353, n.lan), n.t31),
        row('gw', 'udp', n.vip, 53, at(n.t20, 5353, n.lan)),
      ],
    },
    {
      name: 'the target port left out',
      forwards: [forward(`${join(n.vip, 8443)}/tcp`, n.family === 4 ? n.t10 : `[${n.t10}]`)],
      rows: [row('cli', 'tcp', n.vip, 8443, at(n.t10, 8443, n.lan))],
    },
    {
      name: 'a port at one address beside every other address',
      forwards: [https(), forward('80/tcp', join(n.t50, 9999))],
      rows: [
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
        row('cli', 'tcp', n.vip, 80, at(n.t50, 9999, n.lan)),
        row('cli', 'tcp', n.wan, 80, at(n.t50, 9999, n.lan)),
        row('cli', 'tcp', n.wan, 443, 'refused'),
      ],
    },
    {
      name: 'disabled and expired forwards',
      forwards: [
        forward(`${join(n.vip, 443)}/tcp`, join(n.t10, 8443), { name: 'off', enabled: false }),
        forward(`${join(n.vip, 80)}/tcp`, join(n.t10, 80), { name: 'late', expires: 1000 }),
      ],
      refused: { off: 'disabled', late: 'expired' },
      rows: [row('cli', 'tcp', n.vip, 443, 'refused'), row('cli', 'tcp', n.vip, 80, 'refused')],
    },
  ];
}

/** The gateway's own services, which no forward takes unasked. */
export function ownPorts(n: Net): readonly State[] {
  const bare = n.family === 4 ? n.vip : `[${n.vip}]`;
  const rivals = byUid([
    forward(`${join(n.vip, 443)}/tcp`, join(n.t10, 8443), { name: 'one' }),
    forward(`${join(n.vip, 443)}/tcp`, join(n.t10, 80), { name: 'two' }),
  ]);
  return [
    {
      name: 'ports of the gateway itself, beside a good forward',
      forwards: [
        forward('22/tcp', join(n.t10, 80), { name: 'any:22' }),
        forward(`${join(n.vip, 22)}/tcp`, join(n.t10, 80), { name: 'vip:22' }),
        forward(`${join(n.wan, 8000)}/tcp`, join(n.t10, 80), { name: 'wan:8000' }),
        forward(`${join(n.vip, '20-30')}/tcp`, join(n.t10, 7000), { name: 'a range over 22' }),
        forward(`${bare}/all`, n.family === 4 ? n.t10 : `[${n.t10}]`, { name: 'all of the gateway' }),
        forward(`${join(n.vip, 443)}/tcp`, join(n.t10, 8443), { name: 'good' }),
      ],
      refused: {
        'any:22': 'PROTECTED',
        'vip:22': 'PROTECTED',
        'wan:8000': 'PORT_IN_USE',
        'a range over 22': 'PROTECTED',
        'all of the gateway': 'PROTECTED',
      },
      rows: [
        row('cli', 'tcp', n.vip, 22, at(n.vip, 22, n.cli)),
        row('cli', 'tcp', n.wan, 22, at(n.wan, 22, n.cli)),
        row('cli', 'tcp', n.wan, 8000, at(n.wan, 8000, n.cli)),
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
      ],
    },
    {
      name: 'ports of the gateway itself, taken over',
      forwards: [
        forward(`${join(n.vip, 22)}/tcp`, join(n.t10, 80), { takeover: true }),
        forward(`${join(n.wan, 8000)}/tcp`, join(n.t10, 80), { takeover: true }),
      ],
      rows: [
        row('cli', 'tcp', n.vip, 22, at(n.t10, 80, n.lan)),
        row('cli', 'tcp', n.wan, 22, at(n.wan, 22, n.cli)),
        row('cli', 'tcp', n.wan, 8000, at(n.t10, 80, n.lan)),
      ],
    },
    {
      name: 'targets and listeners that no kernel rule can serve, of which the relay serves one',
      forwards: [
        forward(`${join(n.loopback, 443)}/tcp`, join(n.t10, 8443), { name: 'loopback listener' }),
        forward(`${join(n.vip, 444)}/tcp`, join(n.loopback, 80), { name: 'loopback target' }),
        forward(`${join(n.vip, 445)}/tcp`, join(n.family === 4 ? '169.254.169.254' : 'fe80::1', 80), {
          name: 'link-local target',
        }),
        forward(`${join(n.vip, 446)}/tcp`, join(n.lan, 80), { name: 'own target' }),
        forward(`${join(n.vip, 447)}/tcp`, join(n.t10, 80), { name: 'foreign source', snat: n.t50 }),
      ],
      refused: {
        // The relay does it.
        'loopback listener': 'relay',
        'loopback target': 'TARGET_FORBIDDEN',
        'link-local target': 'TARGET_FORBIDDEN',
        'own target': 'TARGET_IS_GATEWAY',
        'foreign source': 'SNAT_ADDRESS_UNKNOWN',
      },
      rows: [
        row('gw', 'tcp', n.loopback, 443, at(n.t10, 8443, n.lan)),
        ...[444, 445, 446, 447].map((port) => row('cli', 'tcp', n.vip, port, 'refused')),
      ],
    },
    {
      name: 'two that claim the same listener: one has it, always the same',
      forwards: rivals,
      refused: { [rivals[1]?.name ?? '']: 'LISTENER_TAKEN' },
      rows: [row('cli', 'tcp', n.vip, 443, at(n.t10, rivals[0]?.name === 'one' ? 8443 : 80, n.lan))],
    },
  ];
}
