import type { StatusObject } from '@grpc/grpc-js';
import { AppError } from '@gwctl/shared/errors/app-error';
import { toStatus } from '@gwctl/shared/grpc/status';

/** Trailers must fit HTTP/2's header limits (16 KiB at many peers); whoever has more mistakes than this finds out in two steps. */
const MAX_VIOLATIONS = 20;
const MAX_TEXT = 1_000;

/** An error as the caller may see it: bounded in size, an internal one with the request id that finds it in the log. */
export function publicStatus(error: AppError, requestId: string): StatusObject {
  const internal = error.code === 'INTERNAL';
  return toStatus(
    new AppError({
      code: error.code,
      reason: error.reason,
      message: shorten(internal ? `${error.message} (request ${requestId})` : error.message),
      violations: error.violations
        .slice(0, MAX_VIOLATIONS)
        .map((v) => ({ field: shorten(v.field), description: shorten(v.description) })),
      metadata: internal ? { ...error.metadata, request_id: requestId } : error.metadata,
    }),
  );
}

const shorten = (text: string): string => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}...` : text);
