/** What messages of several services share. */
import { type Timestamp, timestampMs } from '@bufbuild/protobuf/wkt';
import type { Condition, Drift, FieldViolation } from '@gwctl/proto/gwctl/v1/types_pb';
import { conditionStatusWords, driftCauseWords } from '@gwctl/shared/wire/words';
import type { ConditionResource, DriftResource, ViolationResource } from '../resources/metadata.js';

/** RFC 3339 in UTC, with milliseconds where there are any. */
export const timeText = (t: Timestamp): string => new Date(timestampMs(t)).toISOString().replace('.000Z', 'Z');

/** `{ key: text }` where the time is set, else nothing: for spreading into a resource. */
export function optionalTime<K extends string>(key: K, t: Timestamp | undefined): { readonly [P in K]?: string } {
  return (t === undefined ? {} : { [key]: timeText(t) }) as { readonly [P in K]?: string };
}

/** `{ key: text }` where the text is not empty. */
export function optionalText<K extends string>(key: K, text: string): { readonly [P in K]?: string } {
  return (text === '' ? {} : { [key]: text }) as { readonly [P in K]?: string };
}

/** A 64-bit count as a number: exact up to 2^53, which is 9 PB of traffic or a revision each millisecond for 285,000 years. */
export const count = (value: bigint): number => Number(value);

/** The word for a value of an enum, or `UNRECOGNISED_7` for one that only a newer control plane knows. */
export const wordOr = <T extends string>(word: T | undefined, value: number): T | string => word ?? `UNRECOGNISED_${value}`;

export const toCondition = (c: Condition): ConditionResource => ({
  type: c.type,
  status: wordOr(conditionStatusWords.fromWire(c.status), c.status),
  reason: c.reason,
  message: c.message,
  ...optionalTime('transitionTime', c.transitionTime),
  ...(c.revision > 0n ? { revision: count(c.revision) } : {}),
});

export const toDrift = (d: Drift): DriftResource => ({
  cause: wordOr(driftCauseWords.fromWire(d.cause), d.cause),
  object: d.object,
  message: d.message,
  ...optionalTime('detectedTime', d.detectedTime),
  ...optionalTime('repairedTime', d.repairedTime),
  ...optionalText('process', d.process),
});

export const toViolation = (v: FieldViolation): ViolationResource => ({ field: v.field, description: v.description });
