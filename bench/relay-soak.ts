/**
 * The relay at full rate for long, with a change every second: streams, short connections, datagrams by ever new clients, and forwards
 * that come, move to another target and go. What it has of memory, descriptors and pipes is compared between an early stretch
 * (from 10 % to 20 % of the time: of ten minutes the second) and the last tenth. In the end everything is let go, and nothing may be left.
 *
 *     npm run bench -- relay-soak [--minutes 10] [--engine native|portable]
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { manyDescriptors } from '../test/load/descriptors.js';
import { Load, Target } from '../test/load/load.js';
import type { LoadAnswer, LoadCommand } from '../test/load/protocol.js';
import { type RelayForward, RelayProcess } from '../test/load/relay-process.js';
import { createSite, GATEWAY, TARGET } from '../test/load/site.js';
import { memoryMiB, openDescriptors } from '../test/load/usage.js';
import { type Figure, percentile, report } from './report.js';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, engine: { type: 'string', default: 'native' } },
});
const { engine } = values;
if (engine !== 'native' && engine !== 'portable') throw new Error(`--engine ${engine}: use native or portable`);
const TOTAL_MS = Number(values.minutes) * 60_000;
const [STREAM, MOVING, ALSO, UDP, PASSING] = [11_001, 12_001, 12_002, 13_001, 15_000];
/** Forwards that come and go: one a second, each stays for so many seconds; all are there before anything is compared. */
const STAYS = Math.max(2, Math.min(30, Math.floor(TOTAL_MS / 1000 / 12)));
const SAMPLE_MS = 1000;

interface Sample {
  readonly at: number;
  readonly memory: number;
  readonly descriptors: number;
  readonly pipes: number;
}

const to = { listen: GATEWAY, target: TARGET };
const moving = (turn: number): RelayForward => ({
  ...{ uid: 'moving', ...to, port: MOVING, targetPort: turn % 2 ? ALSO : MOVING },
  onChange: 'drain',
});
const passing = (turn: number): RelayForward => ({
  ...{ uid: `passing-${turn}`, ...to, port: PASSING + (turn % 1000), targetPort: MOVING },
  onChange: turn % 3 ? 'drain' : 'cut',
});

const lab = await createSite('relay-soak');
try {
  const relay = await RelayProcess.start(lab.host('gw1'), lab, { name: 'relay', engine, wrapped: manyDescriptors });
  await Target.start(lab.host('target'), { discard: [STREAM], echo: [MOVING, ALSO], udp: [UDP] });
  await relay.set([
    { uid: 'stream', ...to, port: STREAM },
    { uid: 'udp', ...to, port: UDP, transports: ['udp'], udpIdleTimeout: 5000 },
    moving(0),
  ]);
  const began = performance.now();
  const elapsed = () => performance.now() - began;
  const running = () => elapsed() < TOTAL_MS;

  /** The same again and again, each with a client of its own. */
  async function press(command: LoadCommand, look: (answer: LoadAnswer) => void): Promise<void> {
    const load = await Load.start(lab.host('client'));
    while (running()) look(await load.run(command));
    await load.stop();
  }

  let [connections, failed, datagrams, changes, slowest] = [0, 0, 0, 0, 0];
  const samples: Sample[] = [];

  async function change(): Promise<void> {
    for (let turn = 1; running(); turn++) {
      const asked = performance.now();
      await relay.set([moving(turn), passing(turn)]);
      if (turn > STAYS) await relay.remove([passing(turn - STAYS).uid]);
      changes += turn > STAYS ? 3 : 2;
      slowest = Math.max(slowest, performance.now() - asked);
      await pause(1000);
    }
    const left = (await relay.counts()).map((c) => c.uid).filter((uid) => uid.startsWith('passing'));
    await relay.remove(left);
  }

  async function sample(): Promise<void> {
    while (running()) {
      const { pipes } = await relay.use();
      samples.push({ at: elapsed(), memory: memoryMiB(relay.pid), descriptors: openDescriptors(relay.pid), pipes });
      await pause(SAMPLE_MS);
    }
  }

  const empty = openDescriptors(relay.pid);
  await Promise.all([
    press({ op: 'stream', to: GATEWAY, port: STREAM, streams: 4, ms: 5000 }, () => undefined),
    press({ op: 'short', to: GATEWAY, port: MOVING, concurrency: 32, ms: 2000 }, (answer) => {
      connections += answer.count ?? 0;
      failed += answer.failed ?? 0;
    }),
    press({ op: 'datagrams', to: GATEWAY, port: UDP, sockets: 16, window: 4, bytes: 512, ms: 2000 }, (answer) => {
      datagrams += answer.count ?? 0;
    }),
    change(),
    sample(),
  ]);
  const bytes = (await relay.counts()).reduce((sum, c) => sum + c.bytes, 0);
  const patience = performance.now() + 30_000;
  for (let use = await relay.use(); use.connections + use.clients > 0; use = await relay.use()) {
    if (performance.now() > patience) throw new Error(`flows are left: ${JSON.stringify(use)}`);
    await pause(200);
  }

  const median = (from: number, until: number, of: (s: Sample) => number) =>
    percentile(samples.filter((s) => s.at >= from * TOTAL_MS && s.at < until * TOTAL_MS).map(of), 0.5);
  const growth = (name: string, of: (s: Sample) => number, unit: Figure['unit'], goal: string): Figure[] => {
    const [early, late] = [median(0.1, 0.2, of), median(0.9, 1, of)];
    return [
      { name: `${name}_early`, value: early, unit },
      { name: `${name}_growth`, value: Math.round((late - early) * 10) / 10, unit, goal },
    ];
  };
  report('relay-soak', [
    { name: 'minutes', value: Number(values.minutes), unit: 'count' },
    { name: 'moved', value: Math.round(bytes / 2 ** 20), unit: 'MiB' },
    { name: 'short_connections', value: connections, unit: 'count' },
    { name: 'short_connections_failed', value: failed, unit: 'count', goal: '<=0' },
    { name: 'datagrams_answered', value: datagrams, unit: 'count' },
    { name: 'changes', value: changes, unit: 'count' },
    { name: 'change_slowest', value: Math.round(slowest), unit: 'ms' },
    ...growth('memory', (s) => s.memory, 'MiB', '<=5'),
    ...growth('descriptors', (s) => s.descriptors, 'count', '<=32'),
    ...growth('pipes', (s) => s.pipes, 'count', '<=8'),
    { name: 'descriptors_left_over', value: openDescriptors(relay.pid) - empty, unit: 'count', goal: '<=64' },
  ]);
} finally {
  await lab.destroy();
}
