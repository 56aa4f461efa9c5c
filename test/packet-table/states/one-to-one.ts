import { byUid, forward } from '../forwards.js';
import { join, type Net } from '../net.js';
import { at, row, type State } from '../rows.js';

/** Protocol `all`: an address that nobody has stands for a target, with every port and every IP protocol. */
export function oneToOne(n: Net): readonly State[] {
  const bare = (address: string) => (n.family === 4 ? address : `[${address}]`);
  const all = (options: Parameters<typeof forward>[2] = {}, virtual = n.neighbour, target = n.t10) =>
    forward(`${bare(virtual)}/all`, bare(target), options);
  const rivals = byUid([all({ announce: true }), forward('80/tcp', join(n.t50, 9999))]);
  return [
    {
      name: 'all protocols, announced to neighbours, masqueraded',
      forwards: [all({ announce: true })],
      rows: [
        row('cli', 'tcp', n.neighbour, 8443, at(n.t10, 8443, n.lan)),
        row('cli', 'tcp', n.neighbour, 80, at(n.t10, 80, n.lan)),
        row('cli', 'udp', n.neighbour, 80, at(n.t10, 80, n.lan)),
        row('cli', 'icmp', n.neighbour, 0, 'beyond'),
        row('cli', 'tcp', n.neighbour, 81, 'refused'),
        row('cli', 'udp', n.neighbour, 81, 'refused'),
        row('cli', 'tcp', n.neighbour, 80, at(n.t10, 80, n.lan), n.cli66),
        // The gateway's own services are not there; the target's are.
        row('cli', 'tcp', n.neighbour, 22, at(n.t10, 22, n.lan)),
        row('cli', 'tcp', n.neighbour, 8000, at(n.t10, 8000, n.lan)),
        row('dmz', 'tcp', n.neighbour, 80, at(n.t10, 80, n.lan)),
        row('srv', 'tcp', n.neighbour, 80, at(n.t10, 80, n.lan), n.t20),
        row('srv', 'tcp', n.neighbour, 80, at(n.t10, 80, n.lan), n.t10),
        row('gw', 'tcp', n.neighbour, 80, at(n.t10, 80, n.lan)),
        // The gateway's own addresses are as before.
        row('cli', 'tcp', n.vip, 80, 'refused'),
        row('cli', 'tcp', n.vip, 22, at(n.vip, 22, n.cli)),
        row('cli', 'icmp', n.wan, 0, 'the gateway'),
        row('cli', 'tcp', n.t10, 80, 'timeout'),
      ],
    },
    {
      name: 'all protocols, not announced: only who has a route finds it',
      forwards: [all({ snat: 'none' }, n.nobody), all({ snat: 'none', announce: false }, n.neighbour, n.t31)],
      rows: [
        row('cli', 'tcp', n.nobody, 80, at(n.t10, 80, n.cli)),
        row('cli', 'udp', n.nobody, 8443, at(n.t10, 8443, n.cli66), n.cli66),
        row('cli', 'icmp', n.nobody, 0, 'beyond'),
        row('srv', 'tcp', n.nobody, 80, at(n.t10, 80, n.lan), n.t31),
        // Who asks neighbours for it finds nobody (see announce.spec.ts); these have a route.
        row('dmz', 'tcp', n.neighbour, 80, at(n.t31, 80, n.dmz)),
      ],
    },
    {
      name: 'all protocols, an allow-list and a fixed source',
      forwards: [all({ allow: [n.half], snat: n.lan2 }, n.nobody)],
      rows: [
        row('cli', 'tcp', n.nobody, 80, at(n.t10, 80, n.lan2)),
        row('cli', 'udp', n.nobody, 80, at(n.t10, 80, n.lan2)),
        row('cli', 'icmp', n.nobody, 0, 'beyond'),
        row('cli', 'tcp', n.nobody, 80, 'timeout', n.cli66),
        row('cli', 'udp', n.nobody, 80, 'timeout', n.cli66),
        row('cli', 'icmp', n.nobody, 0, 'timeout', n.cli66),
      ],
    },
    {
      name: 'all protocols beside a port at every address: they claim the same, so one is refused',
      forwards: rivals,
      refused: { [rivals[1]?.name ?? '']: 'LISTENER_TAKEN' },
      rows: [],
    },
    {
      name: 'all protocols beside listeners with ports',
      forwards: [all({ announce: true }), forward(`${join(n.vip, 443)}/tcp`, join(n.t20, 5000))],
      rows: [
        row('cli', 'tcp', n.neighbour, 443, 'refused'),
        row('cli', 'tcp', n.neighbour, 8443, at(n.t10, 8443, n.lan)),
        row('cli', 'tcp', n.vip, 443, at(n.t20, 5000, n.lan)),
      ],
    },
    {
      name: 'a listener with a port, announced',
      forwards: [forward(`${join(n.neighbour, 443)}/tcp`, join(n.t10, 8443), { announce: true })],
      rows: [row('cli', 'tcp', n.neighbour, 443, at(n.t10, 8443, n.lan)), row('cli', 'tcp', n.vip, 443, 'refused')],
    },
  ];
}
