/**
 * One forward more on a gateway that has 0, 1,000, 10,000 and 40,000: from the change being sent to the agent until its word that it is
 * applied and verified, beside a bare `nft add element` into a map of the same size in the same run; where there was none before, the
 * whole table comes with it, so beside `nft -f` of the table of one forward as well. Then the first load of 40,000 beside `nft -f` of
 * the very same rules, and what the agent needs in memory and, idle, of a processor.
 *
 *     npm run bench -- apply-scale [--driver nftables|iptables-nft|iptables-legacy] [--forwards 40000] [--sizes 0,1000,40000] [--idle 60]
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { checkout, program } from '../test/e2e/checkout.js';
import { type Host, Lab, type RunningProcess } from '../test/lab/index.js';
import { type Figure, percentile, report } from './report.js';
import type { PlaneAnswer, PlaneCommand } from './support/plane-main.js';

const { values } = parseArgs({
  options: {
    driver: { type: 'string', default: 'nftables' },
    forwards: { type: 'string', default: '40000' },
    sizes: { type: 'string' },
    idle: { type: 'string', default: '60' },
  },
});
const { driver } = values;
const MOST = Number(values.forwards);
const SIZES = (values.sizes?.split(',').map(Number) ?? [0, 1000, 10_000, MOST]).filter(
  (n, i, all) => n <= MOST && all.indexOf(n) === i,
);
const SAMPLES = 30;
const IDLE_SECONDS = Number(values.idle);

const lab = await Lab.create({
  name: 'apply-scale',
  hosts: {
    gw1: {
      links: {
        wan: { segment: 'wan', addresses: ['198.51.100.1/24'] },
        lan: { segment: 'lan', addresses: ['10.0.0.1/24'] },
      },
      routes: ['198.19.0.0/16 via 10.0.0.10'],
      sysctls: { 'net.ipv4.ip_forward': 1 },
    },
    cli: { links: { eth0: { segment: 'wan', addresses: ['198.51.100.2/24'] } } },
    srv: {
      links: { eth0: { segment: 'lan', addresses: ['10.0.0.10/24'] } },
      // Every target is there and answers, as on a gateway that is well.
      routes: ['local 198.19.0.0/16 dev lo', '198.51.100.0/24 via 10.0.0.1'],
    },
  },
});

/** An agent and what tells it what to do, from nothing. */
class Bench {
  private constructor(
    readonly host: Host,
    readonly agent: RunningProcess,
    private readonly plane: RunningProcess,
    private readonly answers: AsyncIterator<string>,
  ) {}

  static async start(host: Host, name: string): Promise<Bench> {
    const stateDir = await lab.directory(`agent-${name}`);
    const plane = await host.spawn([process.execPath, '--no-warnings', join(checkout, 'bench/support/plane-main.ts')]);
    const answers = createInterface({ input: plane.stdoutStream })[Symbol.asyncIterator]();
    const { join: joinString } = JSON.parse((await answers.next()).value ?? '{}') as { join: string };
    await host.exec([program('gwctl-agent'), 'join', joinString, '--state-dir', stateDir], { timeoutMs: 30_000 });
    const agent = await host.spawn([program('gwctl-agent'), 'run', '--state-dir', stateDir, '--driver', driver]);
    await answers.next();
    return new Bench(host, agent, plane, answers);
  }

  async ask(command: PlaneCommand): Promise<PlaneAnswer> {
    this.plane.stdin.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.answers.next();
    if (done) throw new Error('the control plane of the bench ended');
    return JSON.parse(value) as PlaneAnswer;
  }

  /** The process that is the agent, below the wrappers that started it. */
  async pid(): Promise<number> {
    const { stdout } = await this.host.exec(['pgrep', '-f', 'gwctl-agent run|apps/agent/dist/main.js run']);
    const pids = stdout.trim().split('\n').map(Number);
    const sizes = await Promise.all(pids.map(async (pid) => [pid, await memory(pid, 'VmRSS')] as const));
    return sizes.reduce((a, b) => (b[1] > a[1] ? b : a))[0];
  }

  async stop(): Promise<void> {
    await this.agent.stop();
    await this.plane.stop();
    await this.host.exec(['nft', 'flush', 'ruleset']);
  }
}

/** MiB. */
async function memory(pid: number, what: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(new RegExp(`^${what}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024;
}

/** Seconds of processor time, its finished children's included. */
async function cpu(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [user = 0, system = 0, ...children] = fields.slice(11, 15);
  return (user + system + children.reduce((a, b) => a + b, 0)) / 100;
}

/** Runs shell lines in the host's namespace and gives the milliseconds that each line said on standard output. */
async function timed(host: Host, script: string): Promise<number[]> {
  const { stdout } = await host.exec(['bash', '-c', script], { timeoutMs: 300_000 });
  return stdout
    .trim()
    .split('\n')
    .map((ns) => Number(ns) / 1e6);
}

const STOPWATCH = 'watch() { local t=$(date +%s%N); "$@" || exit 1; echo $(($(date +%s%N) - t)); }';

/** A bare `nft add element`, a process of its own, into a map of n elements with the key and value of a forward. */
async function bare(host: Host, n: number): Promise<number> {
  const file = join(lab.path, `bare-${n}.nft`);
  const elements = Array.from({ length: n }, (_, i) => `198.18.${i >> 16}.1 . tcp . ${i & 0xffff} : 10.0.0.1 . 80`);
  const map = 'add map ip bench m { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }';
  const lines = ['add table ip bench', map, ...elements.map((e) => `add element ip bench m { ${e} }`)];
  await writeFile(file, `${lines.join('\n')}\n`);
  await host.exec(['nft', '-f', file], { timeoutMs: 120_000 });
  const script = `${STOPWATCH}
for i in $(seq 1 ${SAMPLES}); do watch nft add element ip bench m "{ 198.18.200.1 . tcp . $i : 10.0.0.1 . 80 }"; done`;
  const times = await timed(host, script);
  await host.exec(['nft', 'delete', 'table', 'ip', 'bench']);
  return percentile(times, 0.5);
}

const figures: Figure[] = [];
const note = (figure: Figure) => {
  figures.push({ ...figure, value: Math.round(figure.value * 100) / 100 });
  process.stderr.write(`${figure.name} ${figure.value.toFixed(2)} ${figure.unit}\n`);
};

try {
  const host = lab.host('gw1');
  await lab.host('srv').serve(Array.from({ length: 100 }, (_, i) => ({ proto: 'tcp', address: '0.0.0.0', port: 8000 + i })));
  const added = new Map<number, number>();
  for (const n of SIZES) {
    const bench = await Bench.start(host, String(n));
    const load = await bench.ask({ op: 'load', forwards: n });
    const adds: number[] = [];
    const removals: number[] = [];
    for (let i = 0; i < SAMPLES + 5; i++) {
      const { added: a = 0, removed: r = 0, state } = await bench.ask({ op: 'add' });
      if (state !== '2') throw new Error(`the added forward is in state ${state}, not ACTIVE`);
      if (i >= 5) adds.push(a);
      if (i >= 5) removals.push(r);
    }
    const reference = await bare(host, n);
    const p50 = percentile(adds, 0.5);
    added.set(n, p50);
    note({ name: `add_one_at_${n}_p50`, value: p50, unit: 'ms' });
    note({ name: `add_one_at_${n}_p95`, value: percentile(adds, 0.95), unit: 'ms' });
    note({ name: `remove_one_at_${n}_p50`, value: percentile(removals, 0.5), unit: 'ms' });
    note({ name: `nft_add_element_at_${n}_p50`, value: reference, unit: 'ms' });
    note({ name: `add_one_at_${n}_vs_nft_add_element`, value: p50 / reference, unit: 'ratio', goal: '<=3' });
    if (n === 0 && driver === 'nftables') await fromNothing(bench, p50);
    if (n === MOST) await atMost(bench, load);
    await bench.stop();
  }
  const [small, large] = [added.get(1000), added.get(MOST)];
  if (small && large) note({ name: `add_one_at_${MOST}_vs_1000`, value: large / small, unit: 'ratio', goal: '<=1.5' });
  report('apply-scale', figures);
} finally {
  await lab.destroy();
}

/** The first forward of a gateway brings the whole table: a bare nft that does the same takes this long. */
async function fromNothing(bench: Bench, added: number): Promise<void> {
  const { host } = bench;
  const rules = join(lab.path, 'one.nft');
  await bench.ask({ op: 'load', forwards: 1 });
  await host.exec(['bash', '-c', `nft -s list table ip gwctl > ${rules}`]);
  const once = `watch nft -f ${rules}; nft delete table ip gwctl`;
  const times = await timed(
    host,
    `${STOPWATCH}; export -f watch; unshare --net bash -c 'for i in $(seq 1 ${SAMPLES}); do ${once}; done'`,
  );
  const reference = percentile(times, 0.5);
  note({ name: 'nft_f_of_one_forward_p50', value: reference, unit: 'ms' });
  note({ name: 'add_one_at_0_vs_nft_f_of_one_forward', value: added / reference, unit: 'ratio', goal: '<=3' });
}

/** What only matters when the gateway is full. */
async function atMost(bench: Bench, { sent = 0, loaded = 0 }: PlaneAnswer): Promise<void> {
  const { host } = bench;
  const pid = await bench.pid();
  const applied = bench.agent.output.split('\n').find((line) => line.includes('"msg":"applied"')) ?? '{}';
  const took = Date.parse((JSON.parse(applied) as { time: string }).time) - sent;
  note({ name: `first_load_${MOST}`, value: took, unit: 'ms' });
  note({ name: `first_load_${MOST}_until_every_report_was_sent`, value: loaded, unit: 'ms' });
  if (driver === 'nftables') {
    const rules = join(lab.path, 'rules.nft');
    await host.exec(['bash', '-c', `nft -s list table ip gwctl > ${rules}; nft -s list table ip6 gwctl >> ${rules} || true`], {
      timeoutMs: 120_000,
    });
    const [plain = 0, again = 0] = await timed(
      host,
      `${STOPWATCH}\nfor i in 1 2; do unshare --net bash -c '${STOPWATCH}; watch nft -f ${rules}'; done`,
    );
    const best = Math.min(plain, again);
    note({ name: `nft_f_${MOST}`, value: best, unit: 'ms' });
    note({ name: `first_load_${MOST}_vs_nft_f`, value: took / best, unit: 'ratio', goal: '<=2' });
  }
  note({ name: 'memory_highest', value: await memory(pid, 'VmHWM'), unit: 'MiB', goal: '<=400' });
  await new Promise((resolve) => setTimeout(resolve, 30_000));
  const before = await cpu(pid);
  await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000));
  note({ name: 'cpu_idle', value: (((await cpu(pid)) - before) / IDLE_SECONDS) * 100, unit: 'percent', goal: '<=1' });
  note({ name: 'memory_at_rest', value: await memory(pid, 'VmRSS'), unit: 'MiB', goal: '<=200' });
}
