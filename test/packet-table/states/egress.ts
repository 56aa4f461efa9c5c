import { egress, forward } from '../forwards.js';
import { join, type Net } from '../net.js';
import { at, row, type State } from '../rows.js';

/** What leaves from inside, with and without forwards beside it. */
export function egresses(n: Net): readonly State[] {
  const office = (options: Partial<Parameters<typeof egress>[1]> = {}) =>
    egress('office', { sources: [n.lanNet], out: 'wan', ...options });
  return [
    {
      name: 'egress, masqueraded',
      forwards: [],
      egresses: [office()],
      rows: [
        row('srv', 'tcp', n.cli, 8080, at(n.cli, 8080, n.wan), n.t20),
        row('srv', 'udp', n.cli, 8080, at(n.cli, 8080, n.wan), n.t20),
        row('srv', 'icmp', n.cli, 0, 'beyond', n.t20),
        row('srv', 'tcp', n.cli, 8080, at(n.cli, 8080, n.wan), n.t50),
        row('off', 'tcp', n.lan, 22, at(n.lan, 22, n.off)),
        // Another way out is not its business, nor is coming in.
        row('srv', 'tcp', n.dmz, 8080, 'timeout', n.t20),
        row('cli', 'tcp', n.t20, 5353, 'timeout'),
        row('cli', 'icmp', n.t20, 0, 'timeout'),
        row('cli', 'tcp', n.t50, 9999, at(n.t50, 9999, n.cli)),
        row('gw', 'tcp', n.cli, 8080, at(n.cli, 8080, n.wan)),
      ],
    },
    {
      name: 'egress with a fixed address, of one host',
      forwards: [],
      egresses: [egress('one', { sources: [`${n.t20}/${n.host}`], out: 'wan', snat: n.vip })],
      rows: [
        row('srv', 'tcp', n.cli, 8080, at(n.cli, 8080, n.vip), n.t20),
        row('srv', 'udp', n.cli, 8080, at(n.cli, 8080, n.vip), n.t20),
        row('srv', 'icmp', n.cli, 0, 'beyond', n.t20),
        row('srv', 'tcp', n.cli, 8080, 'timeout', n.t31),
        row('srv', 'tcp', n.cli, 8080, at(n.cli, 8080, n.t50), n.t50),
      ],
    },
    {
      name: "egress but for some destinations, and nobody else's sources",
      forwards: [],
      egresses: [office({ except: [`${n.cli3}/${n.host}`] })],
      rows: [
        row('srv', 'tcp', n.cli, 8080, at(n.cli, 8080, n.wan), n.t50),
        row('srv', 'tcp', n.cli3, 8080, at(n.cli3, 8080, n.t50), n.t50),
        row('dmz', 'tcp', n.t50, 9999, at(n.t50, 9999, n.dmz)),
        row('cli', 'tcp', n.t50, 9999, at(n.t50, 9999, n.cli)),
      ],
    },
    {
      name: 'two egresses, two ways out',
      forwards: [],
      egresses: [office(), egress('inside', { sources: [n.lanNet], out: 'dmz', snat: n.dmzGw })],
      rows: [
        row('srv', 'tcp', n.cli, 8080, at(n.cli, 8080, n.wan), n.t20),
        row('srv', 'tcp', n.dmz, 8080, at(n.dmz, 8080, n.dmzGw), n.t20),
      ],
    },
    {
      name: 'egress and forwards together',
      forwards: [
        forward(`${join(n.vip, 443)}/tcp`, join(n.t10, 8443), { snat: 'none', allow: [n.half] }),
        forward('53/udp', join(n.t20, 5353), { snat: 'none' }),
        forward(`${join(n.vip, 80)}/tcp`, join(n.t31, 80)),
      ],
      egresses: [office({ snat: n.vip })],
      rows: [
        row('srv', 'tcp', n.cli, 8080, at(n.cli, 8080, n.vip), n.t10),
        row('srv', 'udp', n.cli, 8080, at(n.cli, 8080, n.vip), n.t20),
        // Answers of forwarded flows go back as what was asked.
        row('cli', 'tcp', n.vip, 443, at(n.t10, 8443, n.cli)),
        row('cli', 'udp', n.wan, 53, at(n.t20, 5353, n.cli)),
        row('cli', 'udp', n.vip, 53, at(n.t20, 5353, n.cli)),
        row('cli', 'tcp', n.vip, 80, at(n.t31, 80, n.lan)),
        row('cli', 'tcp', n.vip, 443, 'timeout', n.cli66),
        row('srv', 'tcp', n.vip, 80, at(n.t31, 80, n.lan), n.t31),
        row('cli', 'tcp', n.t10, 8443, 'timeout'),
      ],
    },
    {
      name: 'egress through an interface or with an address that is not there',
      forwards: [],
      egresses: [
        egress('no interface', { sources: [n.lanNet], out: 'wan9' }),
        egress('no address', { sources: [n.lanNet], out: 'dmz', snat: n.t50 }),
        office(),
      ],
      refused: { 'no interface': 'INTERFACE_UNKNOWN', 'no address': 'SNAT_ADDRESS_UNKNOWN' },
      rows: [row('srv', 'tcp', n.cli, 8080, at(n.cli, 8080, n.wan), n.t20)],
    },
  ];
}
