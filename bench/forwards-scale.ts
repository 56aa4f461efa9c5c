/**
 * New connections a second through one forward while 0, 1,000, 10,000 and 40,000 others are in place, for each kernel driver, beside a
 * flat chain of as many iptables rules, the one that matches last.
 *
 * What is measured is TCP connections that are opened and closed one after the other, by a program that does nothing else: a new flow is
 * what costs a walk through NAT rules (the packets that follow take the mapping of connection tracking), and with one connection at
 * a time their number is the time that the kernel took for each. `direct` is the same past every gateway: what the generator could do.
 *
 * Each size of each driver has a gateway of its own between the same two hosts, so that all are measured in turns: what else this
 * machine does meanwhile hits them alike. A ratio is the median over the rounds of the ratio within one round.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { checkout } from '../test/e2e/checkout.js';
import { Lab, type LabSpec, type RunningProcess } from '../test/lab/index.js';
import { forward } from '../test/packet-table/forwards.js';
import { Gateway } from '../test/packet-table/gateway.js';
import { type Figure, percentile, report } from './report.js';

const SIZES = [0, 1_000, 10_000, 40_000] as const;
const DRIVERS = ['nftables', 'iptables-nft', 'iptables-legacy'] as const;
const SUBJECTS = [...DRIVERS, 'flat'] as const;
type Subject = (typeof SUBJECTS)[number];
const ROUNDS = Number(process.env.GWCTL_BENCH_ROUNDS ?? 80);
const MEASURE_MS = 50;
const TARGET_PORT = 80;
const PROBED_PORT = 443;
const GOALS: Readonly<Record<Subject, string | undefined>> = {
  nftables: '>=0.95',
  'iptables-nft': '>=0.85',
  'iptables-legacy': '>=0.85',
  flat: undefined,
};

interface Site {
  readonly subject: Subject;
  readonly size: number;
  readonly host: string;
  /** Listener, and the target beyond. */
  readonly listen: string;
  readonly target: string;
}

const sites: readonly Site[] = SUBJECTS.flatMap((subject, s) =>
  SIZES.map((size, i) => {
    const n = 1 + s * SIZES.length + i;
    return { subject, size, host: `gw${n}`, listen: `10.1.${n}.1`, target: `10.2.${n}.2` };
  }),
);

function topology(): LabSpec {
  const link = (segment: string, address: string) => ({ segment, addresses: [`${address}/24`] });
  const client = Object.fromEntries(sites.map((s, i) => [`w${i}`, link(`w${i}`, s.listen.replace(/1$/, '2'))]));
  const target = Object.fromEntries(sites.map((s, i) => [`l${i}`, link(`l${i}`, s.target)]));
  const gateways = sites.map(({ host, listen, target: beyond }, i) => {
    const links = { wan: link(`w${i}`, listen), lan: link(`l${i}`, beyond.replace(/2$/, '1')) };
    // Connections end by a reset; what conntrack remembers of them for 10 s would fill the source ports of the gateway.
    const sysctls = { 'net.ipv4.ip_forward': 1, 'net.netfilter.nf_conntrack_tcp_timeout_close': 1 };
    return [host, { links, sysctls }];
  });
  return {
    name: 'scale',
    hosts: {
      client: {
        links: { ...client, direct: link('direct', '10.3.0.1') },
        sysctls: { 'net.ipv4.ip_local_port_range': '1024 65535' },
      },
      target: { links: { ...target, direct: link('direct', '10.3.0.2') }, sysctls: { 'net.core.somaxconn': 65_535 } },
      ...Object.fromEntries(gateways),
    },
  };
}

/** Where forwards that nobody uses listen: eight addresses, thousands of ports each. */
const others = (size: number) =>
  Array.from({ length: size }, (_, i) => ({
    address: `203.0.113.${1 + (i % 8)}`,
    port: 10_000 + Math.floor(i / 8),
    target: `10.9.${i % 8}.${1 + (i % 250)}`,
  }));

const seconds = (since: number) => ((performance.now() - since) / 1000).toFixed(1);

async function install(lab: Lab, { subject, size, host, listen, target }: Site): Promise<void> {
  const began = performance.now();
  const gw = lab.host(host);
  if (subject === 'flat') {
    const rules = others(size).map(
      (o) => `-A PREROUTING -d ${o.address}/32 -p tcp -m tcp --dport ${o.port} -j DNAT --to-destination ${o.target}:${o.port}`,
    );
    const last = `-A PREROUTING -d ${listen}/32 -p tcp -m tcp --dport ${PROBED_PORT} -j DNAT --to-destination ${target}:${TARGET_PORT}`;
    const text = ['*nat', ...rules, last, `-A POSTROUTING -d ${target}/32 -j MASQUERADE --random-fully`, 'COMMIT', ''].join('\n');
    await gw.exec(['iptables-nft-restore', '--noflush'], { stdin: text, timeoutMs: 60_000 });
  } else {
    const gateway = await Gateway.on(gw);
    await gateway.start(subject, lab.directory(host));
    const wanted = others(size).map((o) => forward(`${o.address}:${o.port}/tcp`, `${o.target}:${o.port}`));
    const { verdicts } = await gateway.want([...wanted, forward(`${listen}:${PROBED_PORT}/tcp`, `${target}:${TARGET_PORT}`)]);
    // Of 40,000 random keys of 32 bits two are the same now and then; that one forward is refused.
    const refused = Object.values(verdicts).filter((v) => v !== 'place');
    if (refused.some((v) => v !== 'KEY_COLLISION') || refused.length > 3)
      throw new Error(
        `${subject}: ${refused.length} of ${size + 1} forwards are not in place: ${[...new Set(refused)].join(', ')}`,
      );
    // The rules stay without the process.
    await gateway.stop();
  }
  process.stderr.write(`${subject} with ${size} others: ${seconds(began)} s to install\n`);
}

/** Asks the generator for one measurement. */
function meter(generator: RunningProcess): (address: string, port: number) => Promise<number> {
  const waiting: ((count: number) => void)[] = [];
  createInterface({ input: generator.stdoutStream }).on('line', (line) => waiting.shift()?.(Number(line)));
  return async (address, port) => {
    const began = performance.now();
    const count = await new Promise<number>((resolve, reject) => {
      waiting.push(resolve);
      void generator.exited.then(() => reject(generator.failure('the generator ended')));
      generator.stdin.write(`${address} ${port} ${MEASURE_MS}\n`);
    });
    return (count * 1000) / Math.max(MEASURE_MS, performance.now() - began);
  };
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function measure(lab: Lab): Promise<{ rates: Map<Site, number[]>; direct: number[] }> {
  const program = [process.execPath, '--no-warnings', join(checkout, 'bench/load/connect-main.ts')];
  await lab.host('target').spawn([...program, 'answer', String(TARGET_PORT)], { ready: /ready/ });
  const rate = meter(await lab.host('client').spawn([...program, 'connect'], { ready: /ready/ }));
  const rates = new Map(sites.map((s): [Site, number[]] => [s, []]));
  const direct: number[] = [];
  // Neighbours are found, code is loaded, caches are warm.
  for (const site of sites) await rate(site.listen, PROBED_PORT);
  for (let round = 0; round < ROUNDS; round++) {
    for (const site of round % 2 ? [...sites].reverse() : sites) rates.get(site)?.push(await rate(site.listen, PROBED_PORT));
    direct.push(await rate('10.3.0.2', TARGET_PORT));
  }
  return { rates, direct };
}

function show(rates: Map<Site, number[]>): Figure[] {
  const figures: Figure[] = [];
  const ratios: Figure[] = [];
  for (const subject of SUBJECTS) {
    const of = (size: number) => rates.get(sites.find((s) => s.subject === subject && s.size === size) as Site) ?? [];
    for (const size of SIZES) {
      const name = `${subject.replace('-', '_')}_${size}`;
      figures.push({ name, value: percentile(of(size), 0.5), unit: 'per second' });
      if (size === 0) continue;
      const value = median(of(size).map((rate, round) => rate / (of(0)[round] ?? Number.NaN)));
      const goal = size === SIZES.at(-1) ? GOALS[subject] : undefined;
      ratios.push({ name: `${name}_vs_0`, value: Math.round(value * 1000) / 1000, unit: 'ratio', ...(goal ? { goal } : {}) });
    }
  }
  return [...figures, ...ratios];
}

const lab = await Lab.create(topology());
try {
  for (const site of sites) await install(lab, site);
  const { rates, direct } = await measure(lab);
  report('forwards-scale', [...show(rates), { name: 'direct', value: percentile(direct, 0.5), unit: 'per second' }]);
} finally {
  await lab.destroy();
}
