/** One measured figure; `goal` is written as a comparison, for instance `<=25`. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: 'ms' | 'seconds' | 'ratio' | 'per second' | 'MiB' | 'percent' | 'count';
  readonly goal?: string;
}

/** Prints the figures for people on standard error and, as the last line of standard output, as one JSON object. */
export function report(bench: string, figures: readonly Figure[]): void {
  for (const f of figures)
    process.stderr.write(`${f.name.padEnd(40)} ${f.value} ${f.unit}${f.goal ? `  (goal ${f.goal})` : ''}\n`);
  process.stdout.write(`${JSON.stringify({ bench, figures })}\n`);
}

/** The value below which `share` (0 to 1) of the sorted values lie; nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
  if (value === undefined) throw new Error('no values to take a percentile of');
  return Math.round(value * 10) / 10;
}
