import { forward } from '../forwards.js';
import { join, type Net } from '../net.js';
import { at, row, type Spread, type State } from '../rows.js';

/** Several targets: weights, clients that stay, targets that are left out, names. */
export function targets(n: Net): readonly State[] {
  const [a, b, c] = [join(n.t31, 80), join(n.t50, 80), join(n.t10, 80)];
  const pool = (options: Parameters<typeof forward>[2] = {}, port = 8080, all = [a, b]) =>
    forward(`${join(n.vip, port)}/tcp`, all, options);
  const spread = (shares: Record<string, number>, more: Partial<Spread> = {}): Spread => ({
    from: 'cli',
    sources: [n.cli],
    each: 200,
    proto: 'tcp',
    to: n.vip,
    port: 8080,
    shares,
    // Five standard deviations of 200 even throws: chance alone exceeds it once in a million.
    tolerance: 0.18,
    sticky: false,
    ...more,
  });
  const crowd = { sources: n.crowd, each: 20, sticky: true } as const;
  return [
    {
      name: 'several targets share evenly',
      forwards: [pool({}, 8080, [a, b, c])],
      rows: [],
      spreads: [spread({ [a]: 1 / 3, [b]: 1 / 3, [c]: 1 / 3 })],
    },
    {
      name: 'several targets share by weight, UDP too',
      forwards: [pool({}, 8080, [`${a}*70`, `${b}*30`]), forward(`${join(n.vip, 8080)}/udp`, [`${a}*1`, `${b}*9`])],
      rows: [],
      spreads: [spread({ [a]: 0.7, [b]: 0.3 }), spread({ [a]: 0.1, [b]: 0.9 }, { proto: 'udp' })],
    },
    {
      name: 'several targets, source address kept, with an allow-list',
      forwards: [pool({ snat: 'none', allow: [n.half] })],
      rows: [row('cli', 'tcp', n.vip, 8080, 'timeout', n.cli66)],
      spreads: [spread({ [a]: 0.5, [b]: 0.5 })],
    },
    {
      name: 'several targets, from their own network and from the gateway',
      forwards: [pool({ snat: 'none' })],
      rows: [],
      spreads: [
        spread({ [a]: 0.5, [b]: 0.5 }, { from: 'srv', sources: [n.t31] }),
        spread({ [a]: 0.5, [b]: 0.5 }, { from: 'gw', sources: [n.wan] }),
      ],
    },
    {
      name: 'several targets, every address, a range',
      forwards: [forward('7000-7010/tcp', [join(n.t31, 7000), join(n.t50, 7000)])],
      rows: [row('cli', 'tcp', n.t50, 7005, at(n.t50, 7005, n.cli))],
      spreads: [
        spread({ [join(n.t31, 7007)]: 0.5, [join(n.t50, 7007)]: 0.5 }, { to: n.wan, port: 7007 }),
        spread({ [join(n.t31, 7000)]: 0.5, [join(n.t50, 7000)]: 0.5 }, { port: 7000 }),
      ],
    },
    {
      name: 'several targets with ports of their own, a shifted range',
      forwards: [forward(`${join(n.vip, '6000-6005')}/tcp`, [join(n.t31, 7000), join(n.t20, 5000)])],
      rows: [],
      spreads: [spread({ [join(n.t31, 7003)]: 0.5, [join(n.t20, 5003)]: 0.5 }, { port: 6003 })],
    },
    {
      name: 'clients stay with their target',
      forwards: [pool({ affinity: 'client' }, 8080, [a, b, c])],
      rows: [],
      // 24 clients: each target has some.
      spreads: [spread({ [a]: 1 / 3, [b]: 1 / 3, [c]: 1 / 3 }, { ...crowd, tolerance: 0.3 })],
    },
    {
      name: 'clients stay with their target over UDP and from every port',
      forwards: [forward('8080/udp', [`${a}*3`, `${b}*1`], { affinity: 'client', snat: 'none' })],
      rows: [],
      spreads: [spread({ [a]: 0.75, [b]: 0.25 }, { ...crowd, to: n.wan, proto: 'udp', each: 8, tolerance: 0.24 })],
    },
    {
      name: 'a target that is down is left out',
      forwards: [pool(), pool({ affinity: 'client' }, 8081)],
      unhealthy: [a],
      rows: [],
      spreads: [spread({ [b]: 1 }, { each: 40 }), spread({ [b]: 1 }, { ...crowd, port: 8081, each: 2 })],
    },
    {
      name: 'all targets down: all are kept, for it may be the question',
      forwards: [pool()],
      unhealthy: [a, b],
      rows: [],
      spreads: [spread({ [a]: 0.5, [b]: 0.5 })],
    },
    {
      name: 'names as targets',
      forwards: [
        forward(`${join(n.vip, 443)}/tcp`, 'one.example.net:8443'),
        forward(`${join(n.vip, 8080)}/tcp`, 'many.example.net:80'),
        forward(`${join(n.vip, 8082)}/tcp`, 'unknown.example.net:80', { name: 'waits' }),
        forward(`${join(n.vip, 8083)}/tcp`, ['unknown.example.net:80', c], { name: 'half' }),
      ],
      names: { 'one.example.net': [n.t10], 'many.example.net': [n.t31, n.t50] },
      refused: { waits: 'wait' },
      rows: [
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.lan)),
        row('cli', 'tcp', n.vip, 8082, 'refused'),
        row('cli', 'tcp', n.vip, 8083, at(n.t10, 80, n.lan)),
      ],
      spreads: [spread({ [a]: 0.5, [b]: 0.5 })],
    },
    {
      name: 'a name that points at the gateway or its loopback reaches nobody',
      forwards: [forward(`${join(n.vip, 443)}/tcp`, ['evil.example.net:8443', join(n.t10, 8443)])],
      names: { 'evil.example.net': [n.loopback, n.lan] },
      rows: [],
      spreads: [spread({ [join(n.t10, 8443)]: 1 }, { port: 443, each: 30 })],
    },
  ];
}
