import { createHash } from 'node:crypto';
import { err, ok, type Result } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';

const DEFAULT_SIZE = 100;
const MAX_SIZE = 1_000;

/** One page of a list: how many, and after which key. */
export interface Page {
  readonly size: number;
  /** Key of the last item of the page before; empty for the first page. */
  readonly after: string;
  /** The token of the page after this one. */
  next(lastKey: string): string;
}

/**
 * Reads a page request. Tokens are opaque to clients; one belongs to the filter that it was made for, and is refused with another.
 * @param filter Anything whose JSON tells filters apart.
 */
export function parsePage(request: { readonly pageSize: number; readonly pageToken: string }, filter: unknown): Page {
  if (request.pageSize > MAX_SIZE)
    throw AppError.invalid([
      { field: 'page_size', description: `${request.pageSize} is too many; at most ${MAX_SIZE}, or 0 for ${DEFAULT_SIZE}` },
    ]);
  const print = createHash('sha256').update(JSON.stringify(filter)).digest('base64url').slice(0, 12);
  const after = request.pageToken === '' ? ok('') : readToken(request.pageToken, print);
  if (!after.ok) throw AppError.invalid([{ field: 'page_token', description: after.error }]);
  return {
    size: request.pageSize === 0 ? DEFAULT_SIZE : request.pageSize,
    after: after.value,
    next: (lastKey) => Buffer.from(JSON.stringify([print, lastKey])).toString('base64url'),
  };
}

function readToken(token: string, print: string): Result<string, string> {
  const wrong = err('is not one that a list with this filter gave; start without it');
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
  } catch {
    return wrong;
  }
  if (!Array.isArray(parsed) || parsed.length !== 2 || parsed[0] !== print || typeof parsed[1] !== 'string') return wrong;
  return ok(parsed[1]);
}
