import type { Code } from '@gwctl/shared/errors/app-error';

/** What kind of end a command came to. */
export type Kind = 'error' | 'usage' | 'not-found' | 'not-allowed' | 'conflict' | 'timed-out' | 'partly' | 'interrupted';

/** The one table from kind of error to exit code. */
export const EXIT_CODES: Readonly<Record<Kind | 'ok', number>> = {
  ok: 0,
  error: 1,
  usage: 2,
  'not-found': 3,
  'not-allowed': 4,
  conflict: 5,
  'timed-out': 6,
  partly: 7,
  interrupted: 130,
};

/** What kind of error a failed call is. DEADLINE_EXCEEDED is one call's end; only --wait itself can be `timed-out`. */
export const KIND_OF_CODE: Readonly<Record<Code, Kind>> = {
  CANCELLED: 'interrupted',
  UNKNOWN: 'error',
  INVALID_ARGUMENT: 'usage',
  DEADLINE_EXCEEDED: 'error',
  NOT_FOUND: 'not-found',
  ALREADY_EXISTS: 'conflict',
  PERMISSION_DENIED: 'not-allowed',
  RESOURCE_EXHAUSTED: 'error',
  FAILED_PRECONDITION: 'conflict',
  ABORTED: 'conflict',
  UNIMPLEMENTED: 'error',
  INTERNAL: 'error',
  UNAVAILABLE: 'error',
  UNAUTHENTICATED: 'not-allowed',
};
