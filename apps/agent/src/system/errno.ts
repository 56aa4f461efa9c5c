import { getSystemErrorName } from 'node:util';
import { AppError } from '@gwctl/shared/errors/app-error';

/** For instance `ECONNREFUSED`. */
export const errnoName = (errno: number): string => getSystemErrorName(-errno);

/** For a call that failed although it should not; `libc` tells why. */
export const callFailed = (libc: { errno(): number }, call: string): AppError =>
  new AppError({ ...FAILED, message: `the system call ${call} failed with ${nameAndNumber(libc.errno())}` });

/** For an error number that the kernel answered with, which `metadata` keeps as `errno`. `what`: what it was asked to do. */
export const refused = (errno: number, what: string): AppError =>
  new AppError({
    ...FAILED,
    message: `the kernel refused to ${what} with ${nameAndNumber(errno)}`,
    metadata: { errno: String(errno) },
  });

const FAILED = { code: 'UNAVAILABLE', reason: 'SYSTEM_CALL_FAILED' } as const;

/** 0 is no error: a call went well, and what it gave was not what was asked for. */
const nameAndNumber = (errno: number): string => (errno > 0 ? `${errnoName(errno)} (errno ${errno})` : `errno ${errno}`);
