import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@gwctl/shared/logging/logger';
import { startTestServer, type TestServer } from '@gwctl/shared/testing/postgres-server';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { EmbeddedPostgres } from '../database/embedded/embedded-postgres.js';
import { migrate } from '../database/migrate.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** A PostgreSQL server, and on it a migrated database that fresh ones are copied from. */
    readonly postgres: { readonly url: string; readonly template: string };
  }
}

const TEMPLATE = 'gwctl_template';

/** One server for the whole run, with a template that is migrated once. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startTestServer(startEmbedded);
  const admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${TEMPLATE}`);
  await admin.end();
  const connectionString = databaseUrl(server.url, TEMPLATE);
  await migrate({ connection: { connectionString }, logger: createLogger({ name: 'migrate', level: 'warn' }) });
  project.provide('postgres', { url: server.url, template: TEMPLATE });
  return () => server.stop();
}

export function databaseUrl(url: string, database: string): string {
  return url.replace(/\/postgres$/, `/${database}`);
}

async function startEmbedded(): Promise<TestServer> {
  const root = await mkdtemp(join(tmpdir(), 'gwctl-pg-'));
  const embedded = new EmbeddedPostgres({ root, logger: createLogger({ name: 'postgres', level: 'warn' }) });
  const { host, user } = await embedded.start();
  return {
    url: `postgresql://${user}@${encodeURIComponent(host)}/postgres`,
    stop: async () => {
      await embedded.stop();
      await rm(root, { recursive: true });
    },
  };
}
