/** Rounds of values, their medians, and what is said of them. */
import type { Figure } from '../report.js';
import type { Values } from './parts.js';
import { PROXIES, PROXY_NAMES, type ProxyName } from './proxies.js';

export type Who = ProxyName | 'direct';

const ROWS: readonly (readonly [key: string, title: string, digits: number])[] = [
  ['gbits_1', 'Gbit/s, 1 stream', 1],
  ['cpu_per_gb_1', 'CPU s per GB, 1 stream', 3],
  ['gbits_8', 'Gbit/s, 8 streams', 1],
  ['cpu_per_gb_8', 'CPU s per GB, 8 streams', 3],
  ['short', 'short connections a second', 0],
  ['short_failed', 'short connections failed', 0],
  ['p50', 'round trip of 64 bytes, p50, µs', 1],
  ['p99', 'round trip of 64 bytes, p99, µs', 1],
  ['udp_64', 'datagrams a second, 64 bytes', 0],
  ['udp_lost_64', 'of these lost', 0],
  ['udp_1200', 'datagrams a second, 1,200 bytes', 0],
  ['udp_lost_1200', 'of these lost', 0],
  ['empty_mib', 'MiB without connections', 1],
  ['idle_count', 'idle connections opened', 0],
  ['idle_mib', 'MiB with 10,000 idle connections', 1],
];

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.ceil((sorted.length - 1) / 2)]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}

export class Results {
  readonly #values = new Map<Who, Map<string, number[]>>();

  add(who: Who, values: Values): void {
    const mine = this.#values.get(who) ?? new Map<string, number[]>();
    this.#values.set(who, mine);
    for (const [key, value] of Object.entries(values)) mine.set(key, [...(mine.get(key) ?? []), value]);
  }

  get measured(): readonly Who[] {
    return (['direct', ...PROXY_NAMES] as const).filter((who) => this.#values.has(who));
  }

  rounds(who: Who, key: string): readonly number[] {
    return this.#values.get(who)?.get(key) ?? [];
  }

  /** The median over the rounds; undefined where it was not measured. */
  median(who: Who, key: string): number | undefined {
    return median(this.rounds(who, key));
  }

  /** Microseconds that a proxy adds, in each round, to what the way without one takes in that round. */
  added(who: Who, key: 'p50' | 'p99'): readonly number[] {
    const direct = this.rounds('direct', key);
    return this.rounds(who, key).map((value, round) => value - (direct[round] ?? Number.NaN));
  }
}

export function table(results: Results, markdown: boolean): string {
  const who = results.measured;
  const cell = (value: number | undefined, digits: number) =>
    value === undefined ? '' : value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const rows = ROWS.filter(([key]) => who.some((w) => results.median(w, key) !== undefined)).map(([key, title, digits]) => [
    title,
    ...who.map((w) => cell(results.median(w, key), digits)),
  ]);
  const all = [['', ...who], ...rows];
  if (markdown) {
    const lines = all.map((row) => `| ${row.join(' | ')} |`);
    return [lines[0], `|${'---|'.repeat(who.length + 1)}`, ...lines.slice(1)].join('\n');
  }
  const widths = all[0]?.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0))) ?? [];
  return all
    .map((row) => row.map((c, i) => (i === 0 ? c.padEnd(widths[i] ?? 0) : c.padStart(widths[i] ?? 0))).join('  '))
    .join('\n');
}

const three = (value: number) => Math.round(value * 1000) / 1000;

interface Comparison {
  readonly name: string;
  readonly goal: string;
  readonly better: 'more' | 'less';
  readonly of: (who: Who) => readonly number[];
}

/**
 * Ours against the best of those that were measured beside it: the best is who has the best median, the ratio is the median of the ratios
 * within each round, which were taken within seconds of each other.
 */
function ratio({ name, goal, better, of }: Comparison): Figure[] {
  const ours = of('ours');
  const theirs = PROXIES.filter((p) => p.rival).flatMap((p) => {
    const rounds = of(p.name);
    const value = median(rounds);
    return value === undefined ? [] : [{ rounds, value }];
  });
  if (ours.length === 0 || theirs.length === 0) return [];
  const best = theirs.reduce((a, b) => ((better === 'more' ? b.value > a.value : b.value < a.value) ? b : a));
  const value = median(ours.map((one, round) => one / (best.rounds[round] ?? Number.NaN)));
  return value === undefined ? [] : [{ name, value: three(value), unit: 'ratio', goal }];
}

export function figuresOf(results: Results): Figure[] {
  const rounds = (key: string) => (who: Who) => results.rounds(who, key);
  const comparisons: readonly Comparison[] = [
    { name: 'throughput_1_stream_vs_best', goal: '>=1.2', better: 'more', of: rounds('gbits_1') },
    { name: 'throughput_8_streams_vs_best', goal: '>=1.2', better: 'more', of: rounds('gbits_8') },
    { name: 'cpu_seconds_per_gb_vs_best', goal: '<=0.6', better: 'less', of: rounds('cpu_per_gb_1') },
    { name: 'cpu_seconds_per_gb_8_streams_vs_best', goal: '<=0.6', better: 'less', of: rounds('cpu_per_gb_8') },
    { name: 'short_connections_vs_best', goal: '>=1', better: 'more', of: rounds('short') },
    { name: 'latency_p50_vs_best', goal: '<=1', better: 'less', of: (who) => results.added(who, 'p50') },
    { name: 'latency_p99_vs_best', goal: '<=1', better: 'less', of: (who) => results.added(who, 'p99') },
    { name: 'udp_64_vs_nginx', goal: '>=1', better: 'more', of: rounds('udp_64') },
    { name: 'udp_1200_vs_nginx', goal: '>=1', better: 'more', of: rounds('udp_1200') },
  ];
  const figures = comparisons.flatMap(ratio);
  const [ours, haproxy] = [results.median('ours', 'idle_mib'), results.median('haproxy', 'idle_mib')];
  if (ours !== undefined && haproxy !== undefined)
    figures.push({ name: 'idle_memory_10k_mib_above_haproxy', value: three(ours - haproxy), unit: 'MiB', goal: '<=80' });
  return figures;
}
