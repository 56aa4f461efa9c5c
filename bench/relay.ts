/**
 * The relay beside nginx stream, HAProxy (with and without splice), socat and node:net piping, in one run: a client, a gateway with
 * the proxy and a target, each a network namespace, all on the processors of this machine.
 *
 * All proxies run the whole time and are measured in turns, round after round, the order reversed in every other: what else this machine
 * does hits them alike. A value is the median of the rounds; a ratio is of ours to the best of the others, the median of the ratios
 * within a round. Nothing is pinned to a processor: load, proxy and target share them as the kernel decides.
 *
 * A new network namespace takes its congestion control from the machine, and one that paces (BBR) has a timer for each few packets, whose
 * cost hides what the proxies differ in. So all three hosts get the same one, which is there everywhere and does not pace.
 */
import { parseArgs } from 'node:util';
import { Load, Target } from '../test/load/load.js';
import { createSite } from '../test/load/site.js';
import { useCongestionControl } from './relay/congestion.js';
import { direct, PARTS, type Part, round, type Subject, through } from './relay/parts.js';
import { PROXIES, PROXY_NAMES } from './relay/proxies.js';
import { figuresOf, Results, table } from './relay/results.js';
import { report } from './report.js';

const USAGE = `npm run bench -- relay [options]
  --quick                    fewer and shorter rounds
  --only PARTS               of ${PARTS.join()}
  --proxies NAMES            of ${PROXY_NAMES.join()}
  --rounds N                 of each part
  --congestion-control NAME  net.ipv4.tcp_congestion_control of all hosts (default reno); inherit: the machine's own
  --markdown                 the table as Markdown
`;

const { values: options } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: PARTS.join() },
    proxies: { type: 'string', default: PROXY_NAMES.join() },
    rounds: { type: 'string' },
    'congestion-control': { type: 'string', default: 'reno' },
    markdown: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const { quick } = options;

function chosen<T extends string>(text: string, known: readonly T[]): T[] {
  const names = text.split(',');
  const unknown = names.filter((n) => !known.some((k) => k === n));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; known are ${known.join(', ')}`);
  return known.filter((k) => names.includes(k));
}
const parts = chosen(options.only, PARTS);
const names = chosen(options.proxies, PROXY_NAMES);
const proxies = PROXIES.filter((p) => names.includes(p.name));

/** Rounds of each part; idle memory does not vary. */
const rounds: Readonly<Record<Part, number>> = quick
  ? { throughput: 2, latency: 3, short: 3, udp: 2, idle: 1 }
  : { throughput: 5, latency: 9, short: 7, udp: 5, idle: 1 };
const times = quick
  ? { throughput: 1000, latency: 400, short: 500, udp: 500 }
  : { throughput: 2000, latency: 1000, short: 1000, udp: 1000 };

const lab = await createSite('relay');
try {
  const congestionControl = await useCongestionControl(lab, options['congestion-control']);
  const all = <K extends 'discard' | 'echo' | 'udp'>(kind: K) => PROXIES.map((p) => p.ports[kind]);
  const target = await Target.start(lab.host('target'), { discard: all('discard'), echo: all('echo'), udp: all('udp') });
  const load = await Load.start(lab.host('client'));
  const subjects: Subject[] = [];
  for (const proxy of proxies) {
    const processes = await proxy.start(lab.host('gw1'), lab);
    subjects.push(
      through(
        proxy,
        processes.map((p) => p.pid),
      ),
    );
  }
  const [first] = proxies;
  if (!first) throw new Error('no proxy is left to measure');
  const past = direct(first);

  const results = new Results();
  const measure = async (subject: Subject, part: Part) => {
    try {
      results.add(subject === past ? 'direct' : subject.proxy.name, await round({ load, target }, subject, part, times));
    } catch (error) {
      // One that fails is missing from the table; what was measured of the others is not lost.
      process.stderr.write(`${part}: ${(error as Error).message}\n`);
      process.exitCode = 1;
    }
  };
  for (const part of parts) {
    const took = performance.now();
    const takers = subjects.filter((s) => part !== 'udp' || s.proxy.udp);
    if (takers.length === 0) continue;
    const turns = part === 'idle' ? takers : [past, ...takers];
    // Code is compiled, caches and pools are warm, neighbours are known.
    const warm = { throughput: 200, latency: 200, short: 300, udp: 200 };
    if (part !== 'idle') for (const subject of turns) await round({ load, target }, subject, part, warm);
    const many = Number(options.rounds ?? rounds[part]);
    for (let n = 0; n < many; n++) for (const subject of n % 2 ? turns.toReversed() : turns) await measure(subject, part);
    process.stderr.write(`${part}: ${Math.round((performance.now() - took) / 1000)} s\n`);
  }
  process.stderr.write(`\nTCP congestion control of all hosts: ${congestionControl}\n\n${table(results, options.markdown)}\n\n`);
  report('relay', figuresOf(results));
} finally {
  await lab.destroy();
}
