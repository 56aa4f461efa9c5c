import type { AppError, Code } from '@gwctl/shared/errors/app-error';

/** 0 ok, 1 error, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 wait timed out, 130 interrupted. */
export const USAGE = 2;
export const INTERRUPTED = 130;

const BY_CODE: Partial<Record<Code, number>> = {
  INVALID_ARGUMENT: USAGE,
  NOT_FOUND: 3,
  PERMISSION_DENIED: 4,
  UNAUTHENTICATED: 4,
  ALREADY_EXISTS: 5,
  ABORTED: 5,
  CANCELLED: INTERRUPTED,
};

export const exitCodeOf = (error: AppError): number => BY_CODE[error.code] ?? 1;
