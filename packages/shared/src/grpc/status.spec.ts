import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { AppError } from '../errors/app-error.js';
import { fromServiceError, toStatus } from './status.js';

describe('status', () => {
  it('carries code, reason, message and violations, and keeps the cause at home', () => {
    const error = new AppError({
      code: 'ALREADY_EXISTS',
      reason: 'LISTENER_TAKEN',
      message: 'taken',
      violations: [{ field: 'spec.listen', description: 'taken by web' }],
      metadata: { forward: 'web' },
      cause: new Error('secret detail'),
    });
    const status = toStatus(error);
    expect(JSON.stringify(status.metadata?.toJSON())).not.toContain('secret');
    const wire = Object.assign(new Error('x'), {
      code: status.code,
      details: status.details,
      metadata: status.metadata,
    }) as ServiceError;
    expect(fromServiceError(wire)).toMatchObject({
      code: 'ALREADY_EXISTS',
      reason: 'LISTENER_TAKEN',
      message: 'taken',
      violations: error.violations,
      metadata: { forward: 'web' },
    });
  });

  it('makes a plain gRPC failure an AppError by its code', () => {
    const wire = Object.assign(new Error('x'), { code: 14, details: 'no connection', metadata: new Metadata() }) as ServiceError;
    expect(fromServiceError(wire)).toMatchObject({ code: 'UNAVAILABLE', reason: 'UNAVAILABLE', message: 'no connection' });
  });

  it('hides what an unknown failure says', () => {
    expect(toStatus(AppError.from(new Error('password is hunter2'))).details).not.toContain('hunter2');
  });
});
