import { type ForwardOptions, forward } from '../forwards.js';
import { join, type Net } from '../net.js';
import { at, row, type State } from '../rows.js';

/** What the target sees as the source. */
export function sourceAddresses(n: Net): readonly State[] {
  const https = (options: ForwardOptions = {}) => forward(`${join(n.vip, 443)}/tcp`, join(n.t10, 8443), options);
  return [
    {
      name: 'masqueraded to a target without a route back',
      forwards: [forward(`${join(n.vip, 80)}/tcp`, join(n.off, 80)), forward(`${join(n.vip, 80)}/udp`, join(n.off, 80))],
      rows: [row('cli', 'tcp', n.vip, 80, at(n.off, 80, n.lan)), row('cli', 'udp', n.vip, 80, at(n.off, 80, n.lan))],
    },
    {
      name: 'source address kept, to a target without a route back',
      forwards: [forward(`${join(n.vip, 80)}/tcp`, join(n.off, 80), { snat: 'none' })],
      rows: [
        row('cli', 'tcp', n.vip, 80, 'timeout'),
        // Its own network and the gateway it does reach, so there the gateway stands in.
        row('srv', 'tcp', n.vip, 80, at(n.off, 80, n.lan), n.t20),
        row('gw', 'tcp', n.vip, 80, at(n.off, 80, n.lan)),
      ],
    },
    {
      name: 'source address kept, to a target that routes back',
      forwards: [https({ snat: 'none' }), forward(`${join(n.vip, 53)}/udp`, join(n.t20, 5353), { snat: 'none' })],
      rows: [
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.cli)),
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.cli66), n.cli66),
        row('cli', 'udp', n.vip, 53, at(n.t20, 5353, n.cli66), n.cli66),
        row('dmz', 'tcp', n.vip, 443, at(n.t10, 8443, n.dmz)),
        row('srv', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan), n.t20),
        row('srv', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan), n.t10),
        row('srv', 'udp', n.vip, 53, at(n.t20, 5353, n.lan), n.t20),
        row('gw', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
      ],
    },
    {
      name: 'a fixed source address',
      forwards: [https({ snat: n.lan2 }), forward(`${join(n.vip, 53)}/udp`, join(n.t20, 5353), { snat: n.lan2 })],
      rows: [
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan2)),
        row('cli', 'udp', n.vip, 53, at(n.t20, 5353, n.lan2)),
        row('srv', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan2), n.t10),
        row('gw', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan2)),
      ],
    },
    {
      name: 'each forward its own way to the same target',
      forwards: [
        https({ snat: 'none' }),
        forward(`${join(n.vip, 444)}/tcp`, join(n.t10, 8443), { snat: n.lan2 }),
        forward('445/tcp', join(n.t10, 8443), { snat: 'none' }),
        forward(`${join(n.vip, 446)}/tcp`, join(n.t10, 8443)),
      ],
      rows: [
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.cli)),
        row('cli', 'tcp', n.vip, 444, at(n.t10, 8443, n.lan2)),
        row('cli', 'tcp', n.vip, 445, at(n.t10, 8443, n.cli)),
        row('cli', 'tcp', n.vip, 446, at(n.t10, 8443, n.lan)),
      ],
    },
  ];
}

/** Who may come. */
export function allowLists(n: Net): readonly State[] {
  const https = (options: ForwardOptions = {}) => forward(`${join(n.vip, 443)}/tcp`, join(n.t10, 8443), options);
  const wider = n.family === 4 ? '198.51.100.0/25' : '2001:db8:1::/121';
  return [
    {
      name: 'an allow-list',
      forwards: [
        https({ allow: [n.half, n.dmz] }),
        forward(`${join(n.vip, 53)}/udp`, join(n.t20, 5353), { allow: [`${n.cli3}/${n.host}`] }),
      ],
      rows: [
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan), n.cli3),
        row('cli', 'tcp', n.vip, 443, 'timeout', n.cli66),
        row('dmz', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
        row('srv', 'tcp', n.vip, 443, 'timeout', n.t20),
        row('cli', 'udp', n.vip, 53, 'timeout'),
        row('cli', 'udp', n.vip, 53, at(n.t20, 5353, n.lan), n.cli3),
        // Whoever is on the gateway is no outsider.
        row('gw', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
        // The list is the listener's alone.
        row('cli', 'tcp', n.vip, 444, 'refused', n.cli66),
        row('cli', 'tcp', n.t50, 9999, at(n.t50, 9999, n.cli66), n.cli66),
      ],
    },
    {
      name: 'an allow-list that names everybody',
      forwards: [https({ allow: [n.everybody] })],
      rows: [row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan), n.cli66)],
    },
    {
      name: 'an allow-list whose networks overlap',
      forwards: [https({ allow: [n.half, wider, `${n.cli}/${n.host}`, n.cli3] })],
      rows: [
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan), n.cli66),
        row('dmz', 'tcp', n.vip, 443, 'timeout'),
      ],
    },
    {
      name: 'an allow-list on a range and on an interface',
      forwards: [
        forward(`${join(n.vip, '5000-5010')}/tcp`, join(n.t20, 5000), { allow: [n.half] }),
        forward('8081/tcp', join(n.t10, 80), { interface: 'wan', allow: [n.cli3] }),
      ],
      rows: [
        row('cli', 'tcp', n.vip, 5003, at(n.t20, 5003, n.lan)),
        row('cli', 'tcp', n.vip, 5003, 'timeout', n.cli66),
        row('cli', 'tcp', n.vip, 5011, 'refused', n.cli66),
        row('cli', 'tcp', n.wan, 8081, at(n.t10, 80, n.lan), n.cli3),
        row('cli', 'tcp', n.wan, 8081, 'timeout', n.cli66),
      ],
    },
    {
      name: 'an allow-list of names',
      forwards: [
        https({ allow: ['office.example.net'] }),
        forward(`${join(n.vip, 80)}/tcp`, join(n.t10, 80), { allow: ['unknown.example.net'] }),
      ],
      names: { 'office.example.net': [n.cli3, n.dmz] },
      rows: [
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan), n.cli3),
        row('dmz', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
        row('cli', 'tcp', n.vip, 443, 'timeout'),
        // A name that never resolved lets nobody in.
        row('cli', 'tcp', n.vip, 80, 'timeout'),
        row('cli', 'tcp', n.vip, 80, 'timeout', n.cli3),
      ],
    },
  ];
}
