import { quote } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';

/** What forwards and egresses refuse alike. */
export type Kind = 'forward' | 'egress';

export const notFound = (kind: Kind, name: string): AppError =>
  new AppError({
    code: 'NOT_FOUND',
    reason: kind === 'forward' ? 'FORWARD_NOT_FOUND' : 'EGRESS_NOT_FOUND',
    message: `there is no ${kind} ${quote(name)}; "gwctl ${kind} list" shows all`,
  });

/** A repeated create whose resource is not there any more. */
export const goneMeanwhile = (kind: Kind, name: string): AppError =>
  new AppError({
    code: 'NOT_FOUND',
    reason: kind === 'forward' ? 'FORWARD_NOT_FOUND' : 'EGRESS_NOT_FOUND',
    message: `${kind} ${quote(name)} was made by an earlier call with this request id, and has been deleted since`,
  });

export const nameTaken = (kind: Kind, name: string): AppError =>
  new AppError({
    code: 'ALREADY_EXISTS',
    reason: 'NAME_TAKEN',
    message: `there is ${kind === 'forward' ? 'a' : 'an'} ${kind} ${quote(name)} already; choose another name, or change that one with "gwctl ${kind} set"`,
    violations: [{ field: 'name', description: `${quote(name)} is taken` }],
  });

export const gatewayFull = (gateway: string): AppError =>
  new AppError({
    code: 'RESOURCE_EXHAUSTED',
    reason: 'GATEWAY_FULL',
    message: `gateway ${gateway} carries 50,000 forwards and egresses already, which is the most; use another gateway`,
  });

export const noGateway = (name: string): AppError =>
  new AppError({
    code: 'NOT_FOUND',
    reason: 'GATEWAY_NOT_FOUND',
    message: `there is no gateway ${quote(name)}; "gwctl gateway list" shows all`,
    violations: [{ field: 'spec.gateway', description: `${quote(name)} is not known` }],
  });

/** For `??`. */
export function refuse(error: AppError): never {
  throw error;
}
