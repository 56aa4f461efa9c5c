import { err, ok, quote, type Result } from './result.js';

/** The widest range that one listener may have. */
export const MAX_RANGE_WIDTH = 4096;

/** An inclusive range of ports, 1 to 65535, at most {@link MAX_RANGE_WIDTH} wide. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export function parsePort(value: number | string): Result<number, string> {
  const port = typeof value === 'number' ? value : /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isInteger(port) && port >= 1 && port <= 65535) return ok(port);
  return err(`${typeof value === 'number' ? value : quote(value)} is not a port; write a whole number from 1 to 65535`);
}

export function makePortRange(first: number, last: number): Result<PortRange, string> {
  for (const port of [first, last]) {
    const parsed = parsePort(port);
    if (!parsed.ok) return parsed;
  }
  if (last < first) return err(`${first}-${last} is reversed; write the lower port first: ${last}-${first}`);
  if (last - first + 1 > MAX_RANGE_WIDTH)
    return err(
      `${first}-${last} is ${last - first + 1} ports wide; at most ${MAX_RANGE_WIDTH} are allowed, split it into several forwards`,
    );
  return ok({ first, last });
}

/** Reads `10022` or `50000-50009`. */
export function parsePortRange(text: string): Result<PortRange, string> {
  const parts = text.split('-');
  if (parts.length > 2) return err(`${quote(text)} is not a port range; write one like 50000-50009`);
  const numbers: number[] = [];
  for (const part of parts) {
    const port = parsePort(part);
    if (!port.ok) return port;
    numbers.push(port.value);
  }
  const [first = 0, last = first] = numbers;
  return makePortRange(first, last);
}

export const formatPortRange = (range: PortRange): string =>
  range.first === range.last ? String(range.first) : `${range.first}-${range.last}`;

export const rangeWidth = (range: PortRange): number => range.last - range.first + 1;

export const rangesOverlap = (a: PortRange, b: PortRange): boolean => a.first <= b.last && b.first <= a.last;
