import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FreshDatabase, freshDatabase } from '../testing/fresh-database.js';
import { MIGRATIONS_DIR, migrate } from './migrate.js';

const logger = createLogger({ name: 'test', level: 'silent' });

describe('migrate', () => {
  let fresh: FreshDatabase;
  let dir: string;
  beforeAll(async () => {
    fresh = await freshDatabase(false);
    dir = await mkdtemp(join(tmpdir(), 'gwctl-migrations-'));
    await cp(MIGRATIONS_DIR, dir, { recursive: true });
  });
  afterAll(async () => {
    await fresh.drop();
    await rm(dir, { recursive: true });
  });
  const run = () => migrate({ connection: { connectionString: fresh.url }, logger, dir });
  const add = async (name: string, sql: string) => {
    await mkdir(join(dir, name), { recursive: true });
    await writeFile(join(dir, name, 'migration.sql'), sql);
  };

  it('applies each migration once, also when two replicas start at once', async () => {
    const [a, b] = await Promise.all([run(), run()]);
    expect([...a, ...b]).toHaveLength(1);
    expect(await run()).toEqual([]);
    const { rows } = await fresh.sql.query('SELECT * FROM _prisma_migrations');
    expect(rows).toMatchObject([{ applied_steps_count: 1, rolled_back_at: null }]);
    expect(rows[0].finished_at).not.toBeNull();
  });

  it('leaves nothing of one that fails', async () => {
    await add('29990101000000_bad', 'CREATE TABLE half (n int); SELECT broken;');
    await expect(run()).rejects.toThrow('broken');
    await rm(join(dir, '29990101000000_bad'), { recursive: true });
    const { rows } = await fresh.sql.query(
      "SELECT to_regclass('half') AS half, (SELECT count(*)::int FROM _prisma_migrations) AS n",
    );
    expect(rows).toEqual([{ half: null, n: 1 }]);
  });

  it('refuses a database that a newer version migrated, and a migration that was edited', async () => {
    await add('29990101000000_later', 'CREATE TABLE later (n int)');
    await run();
    await add('29990101000000_later', 'CREATE TABLE later (n bigint)');
    await expect(run()).rejects.toMatchObject({ reason: 'DATABASE_MISMATCH', message: expect.stringContaining('differs') });
    await rm(join(dir, '29990101000000_later'), { recursive: true });
    await expect(run()).rejects.toMatchObject({ reason: 'DATABASE_MISMATCH', message: expect.stringContaining('newer') });
  });
});

/** What the client's schema says of each table's columns: name to SQL type, with "?" where it may be null. */
async function schemaColumns(): Promise<Record<string, Record<string, string>>> {
  const text = await readFile(join(MIGRATIONS_DIR, '..', 'schema.prisma'), 'utf8');
  const models = new Set([...text.matchAll(/^model (\w+)/gm)].map((m) => m[1]!));
  const tables: Record<string, Record<string, string>> = {};
  for (const [, body = ''] of text.matchAll(/^model \w+ \{\n([\s\S]*?)^\}/gm)) {
    const table = /@@map\("(\w+)"\)/.exec(body)?.[1] ?? '';
    const columns: Record<string, string> = {};
    for (const line of body.split('\n')) {
      const field = /^ {2}(\w+)\s+(\w+(?:\("(\w+)"\))?)(\[\])?(\?)?(.*)$/.exec(line);
      if (!field || models.has(field[2]!) || field[4]) continue;
      const [, name = '', type = '', unsupported, , optional = '', rest = ''] = field;
      const column = /@map\("(\w+)"\)/.exec(rest)?.[1] ?? name;
      columns[column] = (unsupported ?? SQL_TYPES[/@db\.(\w+)/.exec(rest)?.[1] ?? type] ?? type) + optional;
    }
    tables[table] = columns;
  }
  return tables;
}

const SQL_TYPES: Record<string, string> = {
  String: 'text',
  Uuid: 'uuid',
  Bytes: 'bytea',
  BigInt: 'bigint',
  Int: 'integer',
  SmallInt: 'smallint',
  Boolean: 'boolean',
  Json: 'jsonb',
  Timestamptz: 'timestamp with time zone',
};

describe('schema and migrations', () => {
  let fresh: FreshDatabase;
  beforeAll(async () => {
    fresh = await freshDatabase();
  });
  afterAll(() => fresh.drop());

  it('agree about every table and column, their types and which may be null', async () => {
    const { rows } = await fresh.sql.query<{ table_name: string; column_name: string; data_type: string; is_nullable: string }>(
      `SELECT c.table_name, c.column_name, c.data_type, c.is_nullable FROM information_schema.columns c
         JOIN information_schema.tables t USING (table_schema, table_name)
        WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.table_name <> '_prisma_migrations'`,
    );
    const migrated: Record<string, Record<string, string>> = {};
    for (const r of rows) {
      migrated[r.table_name] ??= {};
      migrated[r.table_name]![r.column_name] = r.data_type + (r.is_nullable === 'YES' ? '?' : '');
    }
    expect(Object.keys(migrated).length).toBeGreaterThan(10);
    expect(await schemaColumns()).toEqual(migrated);
  });
});
