import { egress, forward } from './forwards.js';
import { join, NETS, type Net } from './net.js';
import { at, row, type State, serversOf } from './rows.js';
import { egresses } from './states/egress.js';
import { listeners, ownPorts } from './states/listeners.js';
import { oneToOne } from './states/one-to-one.js';
import { ranges } from './states/ranges.js';
import { allowLists, sourceAddresses } from './states/sources.js';
import { targets } from './states/targets.js';

const THEMES: readonly ((net: Net) => readonly State[])[] = [
  listeners,
  ownPorts,
  sourceAddresses,
  allowLists,
  ranges,
  targets,
  oneToOne,
  egresses,
];

/**
 * The table. All of it holds for both families, while another tool drops by default in the forward hook, accepting only what goes to
 * and comes from .50. A new driver must give the same answers.
 */
export const STATES: readonly State[] = [
  ...THEMES.flatMap((theme) =>
    NETS.flatMap((net) => theme(net).map((state) => ({ ...state, name: `${net.label}: ${state.name}` }))),
  ),
  together(),
];

/** Both families at once, with the same ports at every address. */
function together(): State {
  const [four, six] = NETS.map((n) => ({
    forwards: [
      forward('53/udp', join(n.t20, 5353), { name: `dns ${n.label}` }),
      forward(`${join(n.vip, '7000-7010')}/tcp`, join(n.t20, 5000), { name: `range ${n.label}` }),
    ],
    egresses: [egress(`out ${n.label}`, { sources: [n.lanNet], out: 'wan' })],
    rows: [
      row('cli', 'udp', n.wan, 53, at(n.t20, 5353, n.lan)),
      row('cli', 'tcp', n.vip, 7007, at(n.t20, 5007, n.lan)),
      row('srv', 'tcp', n.cli, 8080, at(n.cli, 8080, n.wan), n.t20),
    ],
  }));
  return {
    name: 'IPv4 and IPv6 together',
    forwards: [...(four?.forwards ?? []), ...(six?.forwards ?? [])],
    egresses: [...(four?.egresses ?? []), ...(six?.egresses ?? [])],
    rows: [...(four?.rows ?? []), ...(six?.rows ?? [])],
  };
}

/** What listens in every state, of both families. */
export const SERVERS = {
  srv: NETS.flatMap((n) => serversOf(n).srv),
  off: NETS.flatMap((n) => serversOf(n).off),
  far: NETS.flatMap((n) => serversOf(n).far),
  cli: NETS.flatMap((n) => serversOf(n).cli),
  dmz: NETS.flatMap((n) => serversOf(n).dmz),
  gw: NETS.flatMap((n) => serversOf(n).gw),
};
