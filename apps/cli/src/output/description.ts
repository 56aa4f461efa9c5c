import { formatAge } from '../flags/duration.js';
import type { ConditionResource, DriftResource } from '../resources/metadata.js';
import { tableLines } from './table.js';

/** `Label:   text` lines, aligned; entries without a text are left out. */
export function fieldLines(fields: readonly (readonly [string, string | undefined])[], indent = ''): string[] {
  const shown = fields.filter((f): f is readonly [string, string] => f[1] !== undefined);
  const width = Math.max(18 - indent.length, ...shown.map(([label]) => label.length + 2));
  return shown.map(([label, text]) => `${indent}${`${label}:`.padEnd(width)}${text}`);
}

/** `2026-11-21T10:00:00Z (5m ago)` or `(in 3h)`. */
export function timeWithDistance(time: string | undefined, now: number): string | undefined {
  if (time === undefined) return undefined;
  const distance = Date.parse(time) - now;
  return `${time} (${distance > 0 ? `in ${formatAge(distance)}` : `${formatAge(-distance)} ago`})`;
}

export function conditionLines(conditions: readonly ConditionResource[], now: number, indent: string): string[] {
  if (conditions.length === 0) return [];
  const rows = conditions.map((c) => [
    c.type,
    c.status,
    c.reason || '-',
    c.transitionTime ? formatAge(now - Date.parse(c.transitionTime)) : '-',
    c.message,
  ]);
  return [
    `${indent}Conditions:`,
    ...tableLines([['TYPE', 'STATUS', 'REASON', 'SINCE', 'MESSAGE'], ...rows]).map((l) => `${indent}  ${l}`),
  ];
}

export function driftText(drift: DriftResource | undefined, now: number): string | undefined {
  if (!drift) return undefined;
  const found = timeWithDistance(drift.detectedTime, now);
  const repaired = drift.repairedTime ? `repaired ${timeWithDistance(drift.repairedTime, now)}` : 'not repaired';
  const who = drift.process ? ` by ${drift.process}` : '';
  return `${drift.cause} ${drift.object}${who}: ${drift.message}; found ${found ?? 'at an unknown time'}, ${repaired}`;
}
