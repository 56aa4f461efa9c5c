import { randomUUID } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FreshDatabase, freshDatabase } from '../testing/fresh-database.js';
import { MIGRATIONS_DIR, migrate } from './migrate.js';

const logger = createLogger({ name: 'test', level: 'silent' });

const migrationNames = async (): Promise<string[]> =>
  (await readdir(MIGRATIONS_DIR, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();

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
    expect([...a, ...b]).toEqual(await migrationNames());
    expect(await run()).toEqual([]);
    const { rows } = await fresh.sql.query('SELECT * FROM _prisma_migrations');
    expect(rows).toHaveLength((await migrationNames()).length);
    for (const row of rows) {
      expect(row).toMatchObject({ applied_steps_count: 1, rolled_back_at: null });
      expect(row.finished_at).not.toBeNull();
    }
  });

  it('leaves nothing of one that fails', async () => {
    await add('29990101000000_bad', 'CREATE TABLE half (n int); SELECT broken;');
    await expect(run()).rejects.toThrow('broken');
    await rm(join(dir, '29990101000000_bad'), { recursive: true });
    const { rows } = await fresh.sql.query(
      "SELECT to_regclass('half') AS half, (SELECT count(*)::int FROM _prisma_migrations) AS n",
    );
    expect(rows).toEqual([{ half: null, n: (await migrationNames()).length }]);
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

describe('the step to entries of several kinds', () => {
  let fresh: FreshDatabase;
  let dir: string;
  beforeAll(async () => {
    fresh = await freshDatabase(false);
    dir = await mkdtemp(join(tmpdir(), 'gwctl-migrations-'));
    await cp(join(MIGRATIONS_DIR, '20261101000000_foundation'), join(dir, '20261101000000_foundation'), { recursive: true });
    await migrate({ connection: { connectionString: fresh.url }, logger, dir });
  });
  afterAll(async () => {
    await fresh.drop();
    await rm(dir, { recursive: true });
  });

  it('keeps what stands: placements, what was said of them, the change log and counts', async () => {
    const { sql } = fresh;
    const [g, f] = [randomUUID(), randomUUID()];
    const places = 'gateway_uid, forward_uid, generation';
    await sql.query("INSERT INTO gateways (uid, name) VALUES ($1, 'gw1')", [g]);
    await sql.query(
      "INSERT INTO desired_states (gateway_uid, epoch, revision, digest, forwards) VALUES ($1, $1, 1, '\\x01', 1)",
      [g],
    );
    await sql.query("INSERT INTO forwards (uid, name, spec) VALUES ($1, 'web', '{}')", [f]);
    await sql.query(`INSERT INTO placements (${places}, desired, hash, revision) VALUES ($1, $2, 1, '\\x02', '\\x03', 1)`, [
      g,
      f,
    ]);
    for (const [family, address] of [
      [4, '0.0.0.0/0'],
      [6, '::/0'],
    ])
      await sql.query("INSERT INTO listeners VALUES ($1, $2, 'tcp', $3, $4, '[80,81)')", [g, f, family, address]);
    await sql.query(`INSERT INTO placement_reports (${places}, state, report) VALUES ($1, $2, 1, 'ACTIVE', '{}')`, [g, f]);
    await sql.query("INSERT INTO changes (gateway_uid, revision, forward_uid, digest) VALUES ($1, 1, $2, '\\x01')", [g, f]);

    await migrate({ connection: { connectionString: fresh.url }, logger });

    const one = async (query: string) => (await sql.query(query)).rows;
    expect(await one('SELECT * FROM placements')).toMatchObject([
      { forward_uid: f, entry_uid: f, egress_uid: null, kind: 'forward' },
    ]);
    expect(await one('SELECT family, address FROM listeners')).toEqual([{ family: 4, address: '0.0.0.0/0' }]);
    expect(await one('SELECT forwards, entries FROM desired_states')).toEqual([{ forwards: 1, entries: 1 }]);
    expect(await one('SELECT entry_uid, kind FROM changes')).toEqual([{ entry_uid: f, kind: 'forward' }]);
    expect(await one('SELECT forward_uid, observed_generation FROM placement_states')).toEqual([
      { forward_uid: f, observed_generation: '1' },
    ]);
    await sql.query('DELETE FROM forwards');
    expect(await one('SELECT (SELECT count(*)::int FROM placements) + (SELECT count(*)::int FROM listeners) AS left')).toEqual([
      { left: 0 },
    ]);
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
