import { parseLabels } from '@gwctl/shared/domain/names';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';

export type Labels = Readonly<Record<string, string>>;

/** One pair, or the wish that a key should go. */
export type LabelChange =
  | { readonly kind: 'put'; readonly key: string; readonly value: string }
  | { readonly kind: 'remove'; readonly key: string };

type Put = Extract<LabelChange, { kind: 'put' }>;

/** Reads `team=web`. */
export function parseLabel(text: string): Result<Put, string> {
  const at = text.indexOf('=');
  if (at < 0) return err(`${quote(text)} is not a label; write KEY=VALUE, for instance team=web`);
  const [key, value] = [text.slice(0, at), text.slice(at + 1)];
  const checked = parseLabels(Object.fromEntries([[key, value]]));
  return checked.ok ? ok({ kind: 'put', key, value }) : checked;
}

/** Reads `team=web`, or `team-` to remove the label. */
export function parseLabelChange(text: string): Result<LabelChange, string> {
  if (text.includes('=')) return parseLabel(text);
  const key = text.slice(0, -1);
  if (!text.endsWith('-') || !parseLabels(Object.fromEntries([[key, '']])).ok)
    return err(`${quote(text)} is not a change of a label; write KEY=VALUE to set one or KEY- to remove one`);
  return ok({ kind: 'remove', key });
}

/** Reads `site=tokyo,tier=edge`: every pair must match. */
export function parseSelector(text: string): Result<Labels, string> {
  const pairs: Put[] = [];
  for (const part of text.split(',')) {
    const label = parseLabel(part);
    if (!label.ok) return text === '' ? err('is empty; write KEY=VALUE[,KEY=VALUE], for instance site=tokyo') : label;
    pairs.push(label.value);
  }
  return mergeLabels(pairs);
}

/** The set of labels that the pairs make. The same key with two values is refused: one of them would be lost. */
export function mergeLabels(pairs: readonly Put[]): Result<Labels, string> {
  const labels = new Map<string, string>();
  for (const { key, value } of pairs) {
    const other = labels.get(key);
    if (other !== undefined && other !== value)
      return err(`${quote(key)} is given twice, as ${quote(other)} and ${quote(value)}`);
    labels.set(key, value);
  }
  return parseLabels(Object.fromEntries(labels));
}

/** `labels` after the changes, in their order. */
export function changeLabels(labels: Labels, changes: readonly LabelChange[]): Result<Labels, string> {
  const result = new Map(Object.entries(labels));
  for (const change of changes) {
    if (change.kind === 'put') result.set(change.key, change.value);
    else result.delete(change.key);
  }
  return parseLabels(Object.fromEntries(result));
}

/** `team=web,tier=edge`, keys in order; empty for none. */
export const formatLabels = (labels: Labels): string =>
  Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
