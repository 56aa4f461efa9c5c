import { forward } from '../forwards.js';
import { join, type Net } from '../net.js';
import { at, row, type State } from '../rows.js';

/** Listeners of several ports: each port has its own. */
export function ranges(n: Net): readonly State[] {
  const each = (proto: 'tcp' | 'udp', to: string, ports: readonly number[], target: string, shift: number, seenAs: string) =>
    ports.map((port) => row('cli', proto, to, port, at(target, port + shift, seenAs)));
  return [
    {
      name: 'a range to the same ports',
      forwards: [
        forward(`${join(n.vip, '5000-5010')}/tcp`, join(n.t20, 5000)),
        forward(`${join(n.vip, '5000-5010')}/udp`, join(n.t20, 5000), { snat: 'none' }),
      ],
      rows: [
        ...each('tcp', n.vip, [5000, 5005, 5010], n.t20, 0, n.lan),
        ...each('udp', n.vip, [5000, 5005, 5010], n.t20, 0, n.cli),
        row('cli', 'tcp', n.vip, 4999, 'refused'),
        row('cli', 'tcp', n.vip, 5011, 'refused'),
        row('cli', 'udp', n.vip, 4999, 'refused'),
        row('cli', 'udp', n.vip, 5011, 'refused'),
        row('cli', 'tcp', n.wan, 5005, 'refused'),
        row('srv', 'tcp', n.vip, 5001, at(n.t20, 5001, n.lan), n.t20),
        row('gw', 'tcp', n.vip, 5001, at(n.t20, 5001, n.lan)),
      ],
    },
    {
      name: 'a shifted range: each port goes to its own, up and down',
      forwards: [
        forward(`${join(n.vip, '7000-7010')}/tcp`, join(n.t20, 5000)),
        forward(`${join(n.vip, '6000-6010')}/udp`, join(n.t31, 7000), { snat: n.lan2 }),
      ],
      rows: [
        ...each('tcp', n.vip, [7000, 7001, 7002, 7003, 7004, 7005, 7006, 7007, 7008, 7009, 7010], n.t20, -2000, n.lan),
        ...each('udp', n.vip, [6000, 6001, 6005, 6010], n.t31, 1000, n.lan2),
        row('cli', 'tcp', n.vip, 6999, 'refused'),
        row('cli', 'tcp', n.vip, 7011, 'refused'),
        row('srv', 'tcp', n.vip, 7003, at(n.t20, 5003, n.lan), n.t31),
      ],
    },
    {
      name: 'a range at every address, TCP and UDP',
      forwards: [forward('7000-7010/tcp+udp', join(n.t20, 5000))],
      rows: [
        ...each('tcp', n.wan, [7000, 7007, 7010], n.t20, -2000, n.lan),
        ...each('udp', n.vip, [7000, 7007, 7010], n.t20, -2000, n.lan),
        row('cli', 'tcp', n.wan, 7011, 'refused'),
        // Others' traffic on these ports passes.
        row('cli', 'tcp', n.t50, 7005, at(n.t50, 7005, n.cli)),
        row('cli', 'udp', n.nobody, 7005, 'timeout'),
      ],
    },
    {
      name: 'ranges side by side, and one port between them',
      forwards: [
        forward(`${join(n.vip, '7000-7004')}/tcp`, join(n.t20, 5000)),
        forward(`${join(n.vip, 7005)}/tcp`, join(n.t10, 80)),
        forward(`${join(n.vip, '7006-7010')}/tcp`, join(n.t31, 7000)),
        forward(`${join(n.wan, '7000-7010')}/tcp`, join(n.t31, 7000), { snat: 'none' }),
      ],
      rows: [
        ...each('tcp', n.vip, [7000, 7004], n.t20, -2000, n.lan),
        row('cli', 'tcp', n.vip, 7005, at(n.t10, 80, n.lan)),
        ...each('tcp', n.vip, [7006, 7010], n.t31, -6, n.lan),
        ...each('tcp', n.wan, [7000, 7005, 7010], n.t31, 0, n.cli),
      ],
    },
    {
      name: 'a range that is refused whole where a part of it is taken',
      forwards: [
        forward(`${join(n.wan, '7990-8010')}/tcp`, join(n.t20, 5000), { name: 'over a local service' }),
        forward(`${join(n.vip, '7000-7010')}/tcp`, join(n.t20, 5000), { name: 'good' }),
      ],
      refused: { 'over a local service': 'PORT_IN_USE' },
      rows: [
        row('cli', 'tcp', n.wan, 8000, at(n.wan, 8000, n.cli)),
        row('cli', 'tcp', n.wan, 7995, 'refused'),
        row('cli', 'tcp', n.vip, 7009, at(n.t20, 5009, n.lan)),
      ],
    },
    {
      name: 'a range of thousands of ports',
      wide: true,
      forwards: [
        forward(`${join(n.vip, '10000-14095')}/tcp`, join(n.t10, 20000), { name: 'the widest, nobody there' }),
        forward(`${join(n.vip, '30000-33000')}/udp`, join(n.t31, 4020)),
      ],
      rows: [
        row('cli', 'tcp', n.vip, 12345, 'refused'),
        row('cli', 'udp', n.vip, 32980, at(n.t31, 7000, n.lan)),
        row('cli', 'udp', n.vip, 32990, at(n.t31, 7010, n.lan)),
        row('cli', 'udp', n.vip, 33001, 'refused'),
      ],
    },
  ];
}
