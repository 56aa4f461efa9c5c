import type { Violation } from '../domain/result.js';

/** The gRPC status codes that gwctl uses, by name (google.rpc.Code). */
export const CODES = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

export type Code = keyof typeof CODES;

export interface AppErrorInit {
  readonly code: Code;
  /** UPPER_SNAKE_CASE, stable, for programs: google.rpc.ErrorInfo.reason. */
  readonly reason: string;
  /** For people: what happened, why, and what to do. Goes to the caller, so it never holds secrets or internals. */
  readonly message: string;
  readonly violations?: readonly Violation[];
  readonly metadata?: Readonly<Record<string, string>>;
  /** Stays in the log. */
  readonly cause?: unknown;
}

/** The one error class: a code and a public message; the cause is kept apart and only logged. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: Code;
  readonly reason: string;
  readonly violations: readonly Violation[];
  readonly metadata: Readonly<Record<string, string>>;

  constructor(init: AppErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = init.code;
    this.reason = init.reason;
    this.violations = init.violations ?? [];
    this.metadata = init.metadata ?? {};
  }

  /** For boundaries: an AppError as it is, anything else as INTERNAL with the cause kept for the log. */
  static from(error: unknown): AppError {
    if (error instanceof AppError) return error;
    return new AppError({
      code: 'INTERNAL',
      reason: 'INTERNAL',
      message: 'internal error; the log holds the cause',
      cause: error,
    });
  }

  static invalid(violations: readonly Violation[]): AppError {
    const first = violations[0];
    const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : '';
    return new AppError({
      code: 'INVALID_ARGUMENT',
      reason: 'INVALID_FIELD',
      message: first ? `${first.field}: ${first.description}${more}` : 'invalid request',
      violations,
    });
  }
}
