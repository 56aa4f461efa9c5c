/**
 * From the commit in the control plane to the agent's word that the change is applied on the host, read back: one gateway, 200 adds
 * and 200 deletes, one after the other. Then `gwctl forward add --wait` as a whole process, Node.js's start included.
 *
 * The control plane itself measures (log line "revision applied"), so that no client's time is in it.
 */
import { World } from '../test/e2e/world.js';
import { waitFor } from '../test/lab/index.js';
import { percentile, report } from './report.js';

const CHANGES = 200;
const PROCESSES = 20;

interface AppliedLine {
  readonly msg: 'revision applied';
  readonly revision: number;
  readonly sinceCommitMs: number;
}

const world = await World.start({ name: 'bench', controlFlags: ['--log-level', 'debug'] });
try {
  await world.serve('gitbucket', '192.168.2.122:10022');
  const api = await world.api();
  let read = 0;
  /** The lines that came since the last call. */
  const applied = (): AppliedLine[] => {
    const text = world.control.process.output;
    const end = text.lastIndexOf('\n') + 1;
    const lines = text.slice(read, end).split('\n');
    read = end;
    return lines.filter((l) => l.includes('"revision applied"')).map((l) => JSON.parse(l) as AppliedLine);
  };
  const one = async (change: () => Promise<unknown>): Promise<number> => {
    applied();
    await change();
    const [line] = await waitFor(
      () => {
        const lines = applied();
        return lines.length > 0 ? lines : undefined;
      },
      { what: 'the change is applied', timeoutMs: 10_000, intervalMs: 1 },
    );
    if (!line) throw new Error('no line');
    return line.sinceCommitMs;
  };
  const add = (i: number) =>
    one(() =>
      api.createForward({ name: `b${i}`, gateway: 'gw1', listen: `192.168.1.10:${20_000 + i}`, target: '192.168.2.122:10022' }),
    );
  const remove = (i: number) => one(() => api.call('ForwardService.DeleteForward', { name: `b${i}` }));

  // The first changes load code and make connections; they are nobody's everyday.
  for (let i = 0; i < 10; i++) await add(CHANGES + i);
  const adds: number[] = [];
  const deletes: number[] = [];
  for (let i = 0; i < CHANGES; i++) adds.push(await add(i));
  for (let i = 0; i < CHANGES; i++) deletes.push(await remove(i));

  const processes: number[] = [];
  for (let i = 0; i < PROCESSES; i++) {
    const started = performance.now();
    const target = ['--gateway', 'gw1', '--listen', `192.168.1.10:${30_000 + i}`, '--target', '192.168.2.122:10022'];
    await world.gwctl(['forward', 'add', `p${i}`, ...target, '--wait']);
    processes.push(performance.now() - started);
  }
  const both = [...adds, ...deletes];
  report('propagation', [
    { name: 'commit_to_applied_p50', value: percentile(both, 0.5), unit: 'ms', goal: '<=25' },
    { name: 'commit_to_applied_p99', value: percentile(both, 0.99), unit: 'ms', goal: '<=100' },
    { name: 'add_p50', value: percentile(adds, 0.5), unit: 'ms' },
    { name: 'delete_p50', value: percentile(deletes, 0.5), unit: 'ms' },
    { name: 'forward_add_wait_process_p50', value: percentile(processes, 0.5), unit: 'ms', goal: '<=500' },
    { name: 'forward_add_wait_process_max', value: percentile(processes, 1), unit: 'ms', goal: '<=500' },
  ]);
} finally {
  await world.stop();
}
