/**
 * What the relay stands: very many connections, fewer descriptors than clients, handshakes that nobody ends, clients that vanish, and
 * clients that never read. For each: how long the control socket took at most, what the process grew by, and what a client of
 * another forward noticed. Each trial has a relay of its own.
 *
 *     npm run bench -- relay-limits [--quick] [--engine native|portable] [--only connections,descriptors,half-open,vanished,never-read]
 */
import { parseArgs } from 'node:util';
import { createSite } from '../test/load/site.js';
import {
  concurrent,
  fewDescriptors,
  halfOpen,
  LATE,
  neverRead,
  type Stood,
  type TrialOptions,
  vanished,
} from '../test/load/trials.js';
import { type Figure, report } from './report.js';

const TRIALS = ['connections', 'descriptors', 'half-open', 'vanished', 'never-read'] as const;
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    engine: { type: 'string', default: 'native' },
    only: { type: 'string', default: TRIALS.join() },
  },
});
const { quick, engine } = values;
if (engine !== 'native' && engine !== 'portable') throw new Error(`--engine ${engine}: use native or portable`);
const few = quick ? 10 : 1;

const figures: Figure[] = [];
const round = (value: number) => Math.round(value * 100) / 100;
function note(name: string, value: number, unit: Figure['unit'], goal?: string): void {
  figures.push({ name, value: round(value), unit, ...(goal === undefined ? {} : { goal }) });
}
function noteStood(name: string, { controlMs, otherP99, memoryMiB }: Stood, memoryGoal: string): void {
  note(`${name}_control_slowest`, controlMs, 'ms', '<=500');
  note(`${name}_other_p99`, otherP99, 'ratio', '<=2');
  note(`${name}_memory_growth`, memoryMiB, 'MiB', memoryGoal);
}

const trials: Readonly<Record<(typeof TRIALS)[number], (options: TrialOptions) => Promise<void>>> = {
  connections: async (options) => {
    const result = await concurrent(options, 10_000 / few);
    note('connections_open', result.open, 'count', `>=${result.asked}`);
    noteStood('connections', result, '<=120');
  },
  descriptors: async (options) => {
    const result = await fewDescriptors(options, 256, 500);
    note('descriptors_256_served_at_once', result.served, 'count');
    note('descriptors_256_served_later', result.servedLater, 'count', engine === 'native' ? `>=${LATE}` : undefined);
    // Node.js cannot leave a connection in the listener's queue, so the portable engine ends those it has no room for.
    note('descriptors_256_refused', result.refused, 'count', engine === 'native' ? '<=0' : undefined);
    note('descriptors_256_other_forward_connects', result.others, 'count', '>=1');
    note('descriptors_256_other_forward_failed', result.othersFailed, 'count', '<=0');
    noteStood('descriptors_256', result, '<=20');
  },
  'half-open': async (options) => {
    const result = await halfOpen(options, 20_000 / few);
    note('half_open_in_the_queue', result.queued, 'count');
    note('half_open_others_connect', result.shortRate, 'per second');
    note('half_open_others_failed', result.shortFailed, 'count', '<=0');
    noteStood('half_open', result, '<=20');
  },
  vanished: async (options) => {
    const result = await vanished(options, 20_000 / few, quick ? 5000 : 15_000);
    note('vanished_connections', result.accepted, 'count');
    note('vanished_until_all_dropped', result.goneMs / 1000, 'seconds', quick ? '<=10' : '<=40');
    noteStood('vanished', result, '<=120');
  },
  'never-read': async (options) => {
    const result = await neverRead(options, 500 / few);
    note('never_read_connections', result.open, 'count');
    note('never_read_pipes', result.use.pipes, 'count');
    noteStood('never_read', result, '<=40');
  },
};

const lab = await createSite('relay-limits');
try {
  for (const name of values.only.split(',')) {
    const trial = trials[name as keyof typeof trials];
    if (!trial) throw new Error(`--only ${name}: known are ${TRIALS.join(', ')}`);
    await trial({ lab, engine, measureMs: quick ? 900 : 3000 });
  }
  report('relay-limits', figures);
} finally {
  await lab.destroy();
}
