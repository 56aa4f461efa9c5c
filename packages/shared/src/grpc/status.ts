import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { Metadata, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { BadRequestSchema, ErrorInfoSchema } from '@gwctl/proto/google/rpc/error_details_pb';
import { StatusSchema } from '@gwctl/proto/google/rpc/status_pb';
import type { Violation } from '../domain/result.js';
import { AppError, CODES, type Code } from '../errors/app-error.js';

/** Where gRPC carries a google.rpc.Status with its details. */
const DETAILS = 'grpc-status-details-bin';
const DOMAIN = 'gwctl';

/** An error as gRPC status: code, public message, ErrorInfo and BadRequest. The cause is not part of it. */
export function toStatus(error: AppError): StatusObject {
  const details = [
    anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: error.reason, domain: DOMAIN, metadata: { ...error.metadata } })),
  ];
  if (error.violations.length > 0) {
    const fieldViolations = error.violations.map((v) => ({ field: v.field, description: v.description }));
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  const metadata = new Metadata();
  const status = create(StatusSchema, { code: CODES[error.code], message: error.message, details });
  metadata.set(DETAILS, Buffer.from(toBinary(StatusSchema, status)));
  return { code: CODES[error.code], details: error.message, metadata };
}

/** What a call failed with, read back from the status and its details. */
export function fromServiceError(error: ServiceError): AppError {
  if (error instanceof AppError) return error;
  const code = (Object.keys(CODES) as Code[]).find((c) => CODES[c] === error.code) ?? 'UNKNOWN';
  let reason: string = code;
  let violations: Violation[] = [];
  let metadata: Record<string, string> = {};
  const raw = error.metadata?.get(DETAILS)[0];
  if (Buffer.isBuffer(raw)) {
    for (const any of fromBinary(StatusSchema, raw).details) {
      const info = anyUnpack(any, ErrorInfoSchema);
      if (info) {
        reason = info.reason;
        metadata = info.metadata;
      }
      const bad = anyUnpack(any, BadRequestSchema);
      if (bad) violations = bad.fieldViolations.map((v) => ({ field: v.field, description: v.description }));
    }
  }
  return new AppError({ code, reason, message: error.details || error.message, violations, metadata, cause: error });
}
