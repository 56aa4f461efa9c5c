import { AppError } from '@gwctl/shared/errors/app-error';

/** Changes with every change of the resource, and differs between a resource and a later one of the same name. */
export const etagOf = (record: { readonly uid: string; readonly version: bigint }): string =>
  `${record.uid.slice(0, 8)}-${record.version}`;

/** Throws ABORTED where an etag was given and is not the current one. */
export function checkEtag(resource: { readonly kind: string; readonly name: string }, given: string, current: string): void {
  if (given === '' || given === current) return;
  throw new AppError({
    code: 'ABORTED',
    reason: 'ETAG_STALE',
    message: `${resource.kind} ${resource.name} was changed by somebody else meanwhile; read it again and repeat the change`,
    metadata: { current_etag: current },
  });
}
