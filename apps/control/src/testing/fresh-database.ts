import { randomBytes } from 'node:crypto';
import { createLogger } from '@gwctl/shared/logging/logger';
import pg from 'pg';
import { inject } from 'vitest';
import { Database } from '../database/database.js';
import { databaseUrl } from './postgres.setup.js';

export interface FreshDatabase {
  readonly url: string;
  /** A plain client, for what only SQL can ask. */
  readonly sql: pg.Client;
  open(): Database;
  drop(): Promise<void>;
}

/** A database of its own for one spec file. @param migrated False: an empty one. */
export async function freshDatabase(migrated = true): Promise<FreshDatabase> {
  const { url: serverUrl, template } = inject('postgres');
  const name = `t_${randomBytes(6).toString('hex')}`;
  const admin = new pg.Client({ connectionString: serverUrl });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}${migrated ? ` TEMPLATE ${template}` : ''}`);
  const url = databaseUrl(serverUrl, name);
  const sql = new pg.Client({ connectionString: url });
  await sql.connect();
  const opened: Database[] = [];
  return {
    url,
    sql,
    open: () => {
      const database = new Database({
        connection: { connectionString: url },
        logger: createLogger({ name: 'test', level: 'silent' }),
      });
      opened.push(database);
      return database;
    },
    drop: async () => {
      for (const database of opened) await database.close();
      await sql.end();
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    },
  };
}
