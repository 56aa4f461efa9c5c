import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import pg from 'pg';
import type { ConnectionOptions } from './database.js';

/** The reviewed SQL, in prisma/migrations beside the built program. */
export const MIGRATIONS_DIR = join(import.meta.dirname, '..', '..', 'prisma', 'migrations');

/** The key that Prisma's own engine takes its advisory lock with, so that both never work at once. */
const LOCK_KEY = 72707369;

/** Prisma's own bookkeeping, so that `prisma migrate deploy` could take over (schema engine, `_prisma_migrations`). */
const BOOKKEEPING = `
  CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id                  varchar(36)  PRIMARY KEY NOT NULL,
    checksum            varchar(64)  NOT NULL,
    finished_at         timestamptz,
    migration_name      varchar(255) NOT NULL,
    logs                text,
    rolled_back_at      timestamptz,
    started_at          timestamptz  NOT NULL DEFAULT now(),
    applied_steps_count integer      NOT NULL DEFAULT 0
  )`;

interface Migration {
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

/** Applies what is missing, each migration in its own transaction, while no other replica does. Returns the names applied. */
export async function migrate(options: {
  readonly connection: ConnectionOptions;
  readonly logger: Logger;
  readonly dir?: string;
}): Promise<readonly string[]> {
  const migrations = await readMigrations(options.dir ?? MIGRATIONS_DIR);
  const client = new pg.Client({ ...options.connection, application_name: 'gwctl-migrate', connectionTimeoutMillis: 10_000 });
  client.on('error', (error) => options.logger.warn({ err: error }, 'the migration connection broke'));
  await client.connect().catch((error: Error) => {
    throw unreachable(error);
  });
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK_KEY]);
    return await applyMissing(client, migrations, options.logger);
  } finally {
    // Ending the connection frees the lock.
    await client.end();
  }
}

async function applyMissing(client: pg.Client, migrations: readonly Migration[], logger: Logger): Promise<readonly string[]> {
  await client.query(BOOKKEEPING);
  const { rows } = await client.query<{ migration_name: string; checksum: string; finished: boolean }>(
    'SELECT migration_name, checksum, finished_at IS NOT NULL AS finished FROM _prisma_migrations WHERE rolled_back_at IS NULL',
  );
  const known = new Map(rows.map((row) => [row.migration_name, row]));
  const names = new Set(migrations.map((m) => m.name));
  const newer = rows.find((row) => !names.has(row.migration_name));
  if (newer) throw refuse(`it was migrated by a newer version (${newer.migration_name}); update gwctl-control`);
  const applied: string[] = [];
  for (const migration of migrations) {
    const row = known.get(migration.name);
    if (row && !row.finished)
      throw refuse(`migration ${migration.name} was begun by another tool and never finished; see prisma migrate resolve`);
    if (row && row.checksum !== migration.checksum) throw refuse(`migration ${migration.name} differs from what was applied`);
    if (row) continue;
    logger.info({ migration: migration.name }, 'migrating the database');
    await apply(client, migration);
    applied.push(migration.name);
  }
  return applied;
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(migration.sql);
    await client.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, now(), clock_timestamp(), 1)`,
      [randomUUID(), migration.checksum, migration.name],
    );
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

async function readMigrations(dir: string): Promise<readonly Migration[]> {
  const entries = await readdir(dir, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => {
      const sql = await readFile(join(dir, name, 'migration.sql'), 'utf8');
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

const unreachable = (error: Error): AppError =>
  new AppError({
    code: 'UNAVAILABLE',
    reason: 'DATABASE_UNAVAILABLE',
    message: `cannot reach the database: ${error.message}; check its URL, and that it runs and lets this user in`,
    cause: error,
  });

const refuse = (what: string): AppError =>
  new AppError({ code: 'FAILED_PRECONDITION', reason: 'DATABASE_MISMATCH', message: `this database does not fit: ${what}` });
