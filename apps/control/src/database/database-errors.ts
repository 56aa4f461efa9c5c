import { AppError } from '@gwctl/shared/errors/app-error';

/** SQLSTATE classes and codes that mean "the database is away, try again": connection exceptions, shutdown, start-up, no slots. */
const AWAY = /^(08...|57P0[1-4]|53300)$/;
/** What the socket says when nobody listens there, and what the pool and Prisma say when they give up waiting. */
const AWAY_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
const AWAY_PRISMA = new Set(['P1001', 'P1002', 'P1008', 'P1017', 'P2024']);
const AWAY_TEXT =
  /connection terminated|timeout exceeded when trying to connect|Connection ended|connection error and is not queryable|Client was closed|Unable to start a transaction/i;

interface Facts {
  sqlState?: string;
  constraint?: string;
  away: boolean;
}

/** What the database refused, wherever Prisma, its adapter and pg keep it in the chain of causes. */
export function databaseFacts(error: unknown): Facts {
  const facts: Facts = { away: false };
  const seen = new Set<unknown>();
  const visit = (value: unknown, depth: number): void => {
    if (typeof value !== 'object' || value === null || seen.has(value) || depth > 8) return;
    seen.add(value);
    const fields = value as Record<string, unknown>;
    for (const key of ['originalCode', 'code']) {
      const code = fields[key];
      if (typeof code !== 'string') continue;
      if (/^[0-9A-Z]{5}$/.test(code) && !/^P\d{4}$/.test(code)) facts.sqlState ??= code;
      if (AWAY.test(code) || AWAY_CODES.has(code) || AWAY_PRISMA.has(code)) facts.away = true;
    }
    if (fields.kind === 'DatabaseNotReachable' || fields.kind === 'ConnectionClosed' || fields.kind === 'SocketTimeout')
      facts.away = true;
    if (fields.kind === 'UniqueConstraintViolation') facts.sqlState ??= '23505';
    if (typeof fields.message === 'string' && AWAY_TEXT.test(fields.message)) facts.away = true;
    const constraint = fields.constraint;
    if (typeof constraint === 'string') facts.constraint ??= constraint;
    if (typeof constraint === 'object' && constraint !== null) {
      const index = (constraint as Record<string, unknown>).index;
      if (typeof index === 'string') facts.constraint ??= index;
    }
    for (const key of ['cause', 'meta', 'driverAdapterError', 'error']) visit(fields[key], depth + 1);
  };
  visit(error, 0);
  return facts;
}

/** Serialisation failure or deadlock: nothing happened, and doing the same again is right. */
export const isRetryable = (error: unknown): boolean => /^40(001|P01)$/.test(databaseFacts(error).sqlState ?? '');

export const isUniqueViolation = (error: unknown): boolean => databaseFacts(error).sqlState === '23505';
export const isExclusionViolation = (error: unknown): boolean => databaseFacts(error).sqlState === '23P01';

export const isCheckViolation = (error: unknown): boolean => databaseFacts(error).sqlState === '23514';

/** The error as the rest of the program should see it: UNAVAILABLE where the database is away, otherwise unchanged. */
export function translateDatabaseError(error: unknown): unknown {
  if (error instanceof AppError || !databaseFacts(error).away) return error;
  return new AppError({
    code: 'UNAVAILABLE',
    reason: 'DATABASE_UNAVAILABLE',
    message: 'the database is not available at the moment; nothing was changed by this call, or it cannot be told; try again',
    cause: error,
  });
}
