import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** The longest duration that is read: ten years, so that adding one to a date always gives a date. */
export const MAX_DURATION_MS = 3650 * 86_400_000;

/** Reads `30s`, `8h`, `1h30m`, `7d`. Milliseconds, more than zero. */
export function parseDuration(text: string): Result<number, string> {
  const no = err(`${quote(text)} is not a duration; write a number with a unit (ms, s, m, h, d, w), for instance 30s or 8h`);
  if (!/^(?:\d{1,12}(?:ms|[smhdw]))+$/.test(text)) return no;
  let total = 0;
  for (const [, amount = '', unit = ''] of text.matchAll(/(\d+)(ms|[smhdw])/g)) total += Number(amount) * (UNITS[unit] ?? 0);
  if (total <= 0) return err(`${quote(text)} is no time at all; write more than zero`);
  if (total > MAX_DURATION_MS) return err(`${quote(text)} is more than ten years; write less`);
  return ok(total);
}

/** Reads a duration of whole seconds; the answer is in seconds. */
export function parseSeconds(text: string): Result<number, string> {
  const ms = parseDuration(text);
  if (!ms.ok) return ms;
  return ms.value % 1000 === 0 ? ok(ms.value / 1000) : err(`${quote(text)} is not whole seconds; write one like 5s or 10m`);
}

/** Reads a duration between two bounds, in milliseconds; `allowed` names them for people. */
export function parseDurationWithin(least: number, most: number, allowed: string): (text: string) => Result<number, string> {
  return (text) => {
    const duration = parseDuration(text);
    if (!duration.ok) return duration;
    if (duration.value >= least && duration.value <= most) return duration;
    return err(`${quote(text)} is not within ${allowed}`);
  };
}

/** `90 s` as `1m30s`; milliseconds only below ten seconds. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 10_000 && ms % 1000 !== 0) return `${(ms / 1000).toFixed(1)}s`;
  let rest = Math.round(ms / 1000);
  let text = '';
  for (const [unit, seconds] of [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    const amount = Math.floor(rest / seconds);
    rest -= amount * seconds;
    if (amount > 0) text += `${amount}${unit}`;
  }
  return text;
}

/** Roughly how long, in one or two units, for tables: `45s`, `12m`, `3h`, `5d`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}
