import { formatAge } from '../flags/duration.js';
import type { ConditionResource, DriftResource } from '../resources/metadata.js';
import { tableLines } from './table.js';

/** One text, or one for each line; undefined or none at all: the field is left out. */
type FieldText = string | readonly string[] | undefined;

/** `Label:   text` lines, aligned; further lines of a field stand below its first. */
export function fieldLines(fields: readonly (readonly [string, FieldText])[], indent = ''): string[] {
  const shown = fields.flatMap(([label, text]) => {
    const lines = text === undefined ? [] : typeof text === 'string' ? [text] : text;
    return lines.length > 0 ? [{ label, lines }] : [];
  });
  const width = Math.max(18 - indent.length, ...shown.map(({ label }) => label.length + 2));
  return shown.flatMap(({ label, lines }) =>
    lines.map((line, i) => `${indent}${(i === 0 ? `${label}:` : '').padEnd(width)}${line}`),
  );
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
