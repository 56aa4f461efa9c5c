import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';
import { parseDuration } from './duration.js';

const RFC3339 = /^(\d{4}-\d{2}-\d{2})[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d{2}:\d{2})$/;

/** When something ends: so many milliseconds from now, at a point in time (milliseconds since the epoch), or never. */
export type Expiry =
  | { readonly kind: 'in'; readonly ms: number }
  | { readonly kind: 'at'; readonly time: number }
  | { readonly kind: 'never' };

/** Reads `8h` or `2026-12-01T00:00:00Z`. A time without an offset is refused: it would mean another moment elsewhere. */
export function parseExpiry(text: string): Result<Expiry, string> {
  if (/^\d+[a-z]/.test(text)) {
    const duration = parseDuration(text);
    return duration.ok ? ok({ kind: 'in', ms: duration.value }) : duration;
  }
  const day = RFC3339.exec(text)?.[1];
  const time = day === undefined ? Number.NaN : Date.parse(text.replace(' ', 'T'));
  // Date.parse takes 30 February for 2 March; a day that does not exist is a mistake of the writer's.
  const real = day !== undefined && new Date(`${day}T00:00:00Z`).toJSON()?.startsWith(day);
  if (Number.isFinite(time) && real) return ok({ kind: 'at', time });
  return err(
    `${quote(text)} is neither a duration nor a time; write one like 8h, 7d or 2026-12-01T00:00:00Z (with Z or an offset such as +09:00)`,
  );
}

/** As {@link parseExpiry}, and `never`. */
export const parseExpiryOrNever = (text: string): Result<Expiry, string> =>
  text === 'never' ? ok({ kind: 'never' }) : parseExpiry(text);

/** The point in time; undefined for never. A point that has passed is refused. */
export function resolveExpiry(expiry: Expiry, now: number): Result<number | undefined, string> {
  if (expiry.kind === 'never') return ok(undefined);
  const time = expiry.kind === 'in' ? now + expiry.ms : expiry.time;
  if (time <= now) return err(`${formatTime(time)} has passed; name a time to come`);
  return ok(time);
}

/** UTC to the second, as RFC 3339. */
export const formatTime = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
