/** Who is measured, and how each is started on the gateway. */
import { join } from 'node:path';
import { checkout } from '../../test/e2e/checkout.js';
import type { Host, Lab, RunningProcess } from '../../test/lab/index.js';
import { manyDescriptors } from '../../test/load/descriptors.js';
import { RelayProcess } from '../../test/load/relay-process.js';
import { GATEWAY, TARGET } from '../../test/load/site.js';

/** Listener and target have the same port, and each proxy its own: what TIME_WAIT remembers of one is not in another's way. */
export interface Ports {
  readonly discard: number;
  readonly echo: number;
  readonly udp: number;
}

export interface Contender {
  readonly name: ProxyName;
  readonly ports: Ports;
  readonly udp: boolean;
  /** Counts as "the best of them". */
  readonly rival: boolean;
  readonly start: (gateway: Host, lab: Lab<string>) => Promise<readonly RunningProcess[]>;
}

export const PROXY_NAMES = ['ours', 'portable', 'nginx', 'haproxy', 'haproxy-splice', 'socat', 'node'] as const;
export type ProxyName = (typeof PROXY_NAMES)[number];

const ports = (n: number): Ports => ({ discard: 11_000 + n, echo: 12_000 + n, udp: 13_000 + n });
const configuration = (name: string) => join(checkout, 'bench/relay', name);
const built = (name: string) => [process.execPath, '--no-warnings', join(import.meta.dirname, `${name}.js`)];

async function listening(gateway: Host, argv: readonly string[], port: number): Promise<RunningProcess> {
  return gateway.spawn([...manyDescriptors, ...argv], { ready: port });
}

/** The process that an agent starts, as an agent starts it, told over its control socket what to carry. */
const relay = (engine: 'native' | 'portable', at: Ports) => async (gateway: Host, lab: Lab<string>) => {
  const started = await RelayProcess.start(gateway, lab, { name: `relay-${engine}`, engine, wrapped: manyDescriptors });
  const to = { listen: GATEWAY, target: TARGET };
  await started.set([
    { uid: 'discard', ...to, port: at.discard },
    { uid: 'echo', ...to, port: at.echo },
    { uid: 'udp', ...to, port: at.udp, transports: ['udp'] },
  ]);
  return [started.process];
};

/** A process for each of the two ports. At 4 MiB a byte costs 0.45 of what it costs at 64 KiB; the default is 8 KiB. */
const socat = (at: Ports) => (gateway: Host) =>
  Promise.all(
    [at.discard, at.echo].map((port) =>
      listening(
        gateway,
        [
          ...['socat', '-b', '4194304', `TCP4-LISTEN:${port},bind=${GATEWAY},reuseaddr,fork,nodelay,backlog=65535`],
          `TCP4:${TARGET}:${port},nodelay`,
        ],
        port,
      ),
    ),
  );

export const PROXIES: readonly Contender[] = [
  { name: 'ours', ports: ports(1), udp: true, rival: false, start: relay('native', ports(1)) },
  { name: 'portable', ports: ports(2), udp: true, rival: false, start: relay('portable', ports(2)) },
  {
    name: 'nginx',
    ports: ports(3),
    udp: true,
    rival: true,
    start: async (gateway, lab) => [
      await listening(gateway, ['nginx', '-p', lab.directory('nginx'), '-c', configuration('nginx.conf')], ports(3).echo),
    ],
  },
  {
    name: 'haproxy',
    ports: ports(4),
    udp: false,
    rival: true,
    start: async (gateway) => [await listening(gateway, ['haproxy', '-db', '-f', configuration('haproxy.cfg')], ports(4).echo)],
  },
  {
    name: 'haproxy-splice',
    ports: ports(5),
    udp: false,
    rival: true,
    start: async (gateway) => [
      await listening(gateway, ['haproxy', '-db', '-f', configuration('haproxy-splice.cfg')], ports(5).echo),
    ],
  },
  { name: 'socat', ports: ports(6), udp: false, rival: true, start: socat(ports(6)) },
  {
    name: 'node',
    ports: ports(7),
    udp: false,
    rival: true,
    start: async (gateway) => [
      await gateway.spawn(
        [...manyDescriptors, ...built('pipe-main'), GATEWAY, TARGET, String(ports(7).discard), String(ports(7).echo)],
        { ready: /ready/ },
      ),
    ],
  },
];
