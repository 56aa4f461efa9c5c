/** What is measured of each proxy, one short round at a time, so that rounds of all can be taken in turns. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Load, Target } from '../../test/load/load.js';
import { CLIENTS, DIRECT, GATEWAY } from '../../test/load/site.js';
import { cpuSeconds, descriptorLimit, memoryMiB } from '../../test/load/usage.js';
import type { Contender } from './proxies.js';

/** A proxy that runs, or the way past all of them. */
export interface Subject {
  readonly proxy: Contender;
  readonly pids: readonly number[];
  readonly to: string;
}

export const PARTS = ['throughput', 'latency', 'short', 'udp', 'idle'] as const;
export type Part = (typeof PARTS)[number];

export interface Bench {
  readonly load: Load;
  readonly target: Target;
}

/** Named values of one round. */
export type Values = Readonly<Record<string, number>>;

const cpu = (subject: Subject) => subject.pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
const GB = 1e9;

/** Gbit/s that reached the target, and processor seconds of the proxy for each GB, once the connections are at speed. */
async function throughput({ load, target }: Bench, subject: Subject, streams: number, ms: number): Promise<Values> {
  const speedUp = 300;
  const sent = load.run({ op: 'stream', to: subject.to, port: subject.proxy.ports.discard, streams, ms: speedUp + ms + 200 });
  const settled = sent.catch(() => undefined);
  await pause(speedUp);
  const [before, usedBefore] = [await target.counts(), cpu(subject)];
  await pause(ms);
  const [after, usedAfter] = [await target.counts(), cpu(subject)];
  await settled;
  await sent;
  const bytes = after.bytes - before.bytes;
  const gbits = (bytes * 8) / 1e6 / (after.at - before.at);
  return { [`gbits_${streams}`]: gbits, [`cpu_per_gb_${streams}`]: ((usedAfter - usedBefore) * GB) / bytes };
}

async function latency({ load }: Bench, subject: Subject, ms: number): Promise<Values> {
  const { p50 = Number.NaN, p99 = Number.NaN } = await load.run({
    op: 'latency',
    to: subject.to,
    port: subject.proxy.ports.echo,
    ms,
  });
  return { p50, p99 };
}

async function short({ load }: Bench, subject: Subject, ms: number): Promise<Values> {
  const answer = await load.run({ op: 'short', to: subject.to, port: subject.proxy.ports.echo, concurrency: 64, ms });
  return { short: ((answer.count ?? 0) * 1000) / (answer.ms ?? Number.NaN), short_failed: answer.failed ?? 0 };
}

async function udp({ load }: Bench, subject: Subject, bytes: number, ms: number): Promise<Values> {
  const port = subject.proxy.ports.udp;
  const answer = await load.run({ op: 'datagrams', to: subject.to, port, sockets: 32, window: 8, bytes, ms });
  const rate = ((answer.count ?? 0) * 1000) / (answer.ms ?? Number.NaN);
  return { [`udp_${bytes}`]: rate, [`udp_lost_${bytes}`]: answer.failed ?? 0 };
}

/**
 * Idle connections that fit: each takes two descriptors; HAProxy sets some aside for pipes, our relay a quarter for other forwards; socat has
 * a process for each.
 */
function fitting({ proxy, pids }: Subject, connections: number): number {
  if (proxy.name === 'socat') return connections / 10;
  const each = { 'haproxy-splice': 2.5, ours: 2.75, portable: 2.75 }[proxy.name as string] ?? 2;
  return Math.min(connections, ...pids.map((pid) => Math.floor((descriptorLimit(pid) - 2000) / each)));
}

/** MiB of the proxy's processes with so many idle connections. Where fewer fit, what those add is taken for all. */
async function idle({ load }: Bench, subject: Subject, connections: number): Promise<Values> {
  const few = fitting(subject, connections);
  const total = () => subject.pids.reduce((sum, pid) => sum + memoryMiB(pid), 0);
  const before = total();
  const { proxy, to } = subject;
  const hold = { op: 'hold', from: CLIENTS, to, port: proxy.ports.echo, count: few, echo: true, ms: 60_000 } as const;
  const { count, failed, ms = 0 } = await load.run(hold);
  if (count !== few) {
    await load.run({ op: 'release' });
    throw new Error(`${proxy.name}: ${count} of ${few} idle connections answered, ${failed} failed, in ${Math.round(ms)} ms`);
  }
  await pause(3000);
  const idleMiB = before + ((total() - before) * connections) / few;
  await load.run({ op: 'release' });
  await pause(500);
  return { idle_mib: idleMiB, idle_count: few, empty_mib: before };
}

/** How long one round of each part takes for each proxy, in milliseconds. */
export interface Times {
  readonly throughput: number;
  readonly latency: number;
  readonly short: number;
  readonly udp: number;
}

export async function round(bench: Bench, subject: Subject, part: Part, times: Times): Promise<Values> {
  switch (part) {
    case 'throughput': {
      const one = await throughput(bench, subject, 1, times.throughput);
      return { ...one, ...(await throughput(bench, subject, 8, times.throughput)) };
    }
    case 'latency':
      return latency(bench, subject, times.latency);
    case 'short':
      return short(bench, subject, times.short);
    case 'udp':
      return { ...(await udp(bench, subject, 64, times.udp)), ...(await udp(bench, subject, 1200, times.udp)) };
    case 'idle':
      return idle(bench, subject, 10_000);
  }
}

/** Past every gateway: what the load could do by itself, and what a way without a proxy takes. */
export const direct = (any: Contender): Subject => ({ proxy: { ...any, rival: false }, pids: [], to: DIRECT });
export const through = (proxy: Contender, pids: readonly number[]): Subject => ({ proxy, pids, to: GATEWAY });
