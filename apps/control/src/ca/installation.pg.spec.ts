import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../config/clock.js';
import { Database } from '../database/database.js';
import { migrate } from '../database/migrate.js';
import { type FreshDatabase, freshDatabase } from '../testing/fresh-database.js';
import { Ca } from './ca.js';
import { caPaths } from './ca-files.js';
import { InstallationRepository } from './installation.repository.js';

const logger = createLogger({ name: 'test', level: 'silent' });

describe('the installation', () => {
  let fresh: FreshDatabase;
  let dir: string;
  beforeAll(async () => {
    fresh = await freshDatabase();
    dir = await mkdtemp(join(tmpdir(), 'gwctl-ca-'));
  });
  afterAll(async () => {
    await fresh.drop();
    await rm(dir, { recursive: true });
  });
  const open = (database: Database, dataDir = dir) =>
    Ca.open({ paths: caPaths(dataDir), repository: new InstallationRepository(database), clock: systemClock, logger });

  it('keeps its CA and its epoch from start to start', async () => {
    const first = await open(fresh.open());
    const second = await open(fresh.open());
    expect(second.installation).toEqual(first.installation);
    expect(second.fingerprint).toBe(first.fingerprint);
    expect((await stat(join(dir, 'ca.key'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(dir, 'ca.crt'))).mode & 0o777).toBe(0o644);
  });

  it('does not make a second CA for a database that knows one', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'gwctl-ca-'));
    await expect(open(fresh.open(), empty)).rejects.toMatchObject({
      reason: 'CA_UNUSABLE',
      message: expect.stringContaining('missing'),
    });
    await rm(empty, { recursive: true });
  });

  it('gets a new epoch in a database that was restored from a dump, and says so in the trail', async () => {
    const { epoch } = (await open(fresh.open())).installation;
    await fresh.sql.query("INSERT INTO gateways (uid, name) VALUES (gen_random_uuid(), 'g')");
    await fresh.sql.query("INSERT INTO desired_states (gateway_uid, epoch, digest) SELECT uid, $1, '' FROM gateways", [epoch]);
    // What a restored dump looks like from inside: it remembers another database than the one that it is in.
    await fresh.sql.query("UPDATE installation SET database_identity = 'elsewhere'");
    const restored = (await open(fresh.open())).installation;
    expect(restored.epoch).not.toBe(epoch);
    expect((await fresh.sql.query('SELECT epoch FROM desired_states')).rows).toEqual([{ epoch: restored.epoch }]);
    const { rows } = await fresh.sql.query("SELECT resource FROM audit_entries WHERE method = 'NewEpoch'");
    expect(rows).toEqual([{ resource: 'installation' }]);
    expect((await open(fresh.open())).installation.epoch).toBe(restored.epoch);
  });

  it('needs no superuser', async () => {
    const own = await freshDatabase(false);
    const role = `r_${new URL(own.url).pathname.slice(1)}`;
    await own.sql.query(`CREATE ROLE ${role} LOGIN PASSWORD 'test-only'`);
    await own.sql.query(`ALTER DATABASE ${new URL(own.url).pathname.slice(1)} OWNER TO ${role}`);
    const connectionString = own.url.replace(/\/\/[^@]*@/, `//${role}:test-only@`);
    await migrate({ connection: { connectionString }, logger });
    const database = new Database({ connection: { connectionString }, logger });
    const other = await mkdtemp(join(tmpdir(), 'gwctl-ca-'));
    expect((await open(database, other)).installation.epoch).toMatch(/^[0-9a-f-]{36}$/);
    await database.close();
    await rm(other, { recursive: true });
    await own.drop();
  });
});
