import { AppError } from '@gwctl/shared/errors/app-error';
import { describe, expect, it } from 'vitest';
import { isExclusionViolation, isRetryable, isUniqueViolation, translateDatabaseError } from './database-errors.js';

const wrapped = (cause: object): Error =>
  Object.assign(new Error('Raw query failed'), {
    code: 'P2010',
    meta: { driverAdapterError: Object.assign(new Error('x'), { cause }) },
  });

describe('database errors', () => {
  it.each([
    ['a refused connection', Object.assign(new Error('x'), { code: 'ECONNREFUSED' })],
    ['a shutdown', wrapped({ originalCode: '57P01' })],
    ['a lost connection', wrapped({ originalCode: '08006' })],
    ['a pool that gave up', new Error('timeout exceeded when trying to connect')],
    ['a broken client', new Error('Client has encountered a connection error and is not queryable')],
    ["Prisma's word for it", wrapped({ kind: 'DatabaseNotReachable' })],
  ])('say UNAVAILABLE for %s', (_, error) => {
    expect(translateDatabaseError(error)).toMatchObject({ code: 'UNAVAILABLE', reason: 'DATABASE_UNAVAILABLE' });
  });

  it('leave everything else as it is', () => {
    const own = new AppError({ code: 'NOT_FOUND', reason: 'X', message: 'x' });
    for (const error of [own, new Error('x'), wrapped({ originalCode: '23505' }), undefined, 'text'])
      expect(translateDatabaseError(error)).toBe(error);
  });

  it('tell refusals apart wherever they are kept', () => {
    expect(isExclusionViolation(wrapped({ originalCode: '23P01' }))).toBe(true);
    expect(isUniqueViolation(wrapped({ kind: 'UniqueConstraintViolation' }))).toBe(true);
    expect(isUniqueViolation(wrapped({ originalCode: '23P01' }))).toBe(false);
    expect(isRetryable(wrapped({ originalCode: '40P01' }))).toBe(true);
    expect(isRetryable(wrapped({ originalCode: '40001' }))).toBe(true);
    expect(isRetryable(new Error('x'))).toBe(false);
  });

  it('end at a cause that is its own', () => {
    const loop: { cause?: unknown } = {};
    loop.cause = loop;
    expect(translateDatabaseError(loop)).toBe(loop);
  });
});
