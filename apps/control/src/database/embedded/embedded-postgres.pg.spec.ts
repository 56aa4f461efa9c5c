import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import { createLogger } from '@gwctl/shared/logging/logger';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Database } from '../database.js';
import { EmbeddedPostgres } from './embedded-postgres.js';

const logger = createLogger({ name: 'test', level: 'silent' });

describe('embedded PostgreSQL', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'gwctl-embedded-'));
    // As claimDataDir leaves it: the database may run as another user.
    await chmod(root, 0o711);
  });
  afterEach(() => rm(root, { recursive: true }));

  const query = async (connection: pg.ClientConfig, sql: string) => {
    const client = new pg.Client(connection);
    await client.connect();
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end();
    }
  };
  const postmaster = async () => Number((await readFile(join(root, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0]);

  it('keeps what was committed, listens on no network, and leaves no process', async () => {
    const first = new EmbeddedPostgres({ root, logger });
    const connection = await first.start();
    await query(connection, 'CREATE TABLE t AS SELECT 1 AS n');
    expect(await query(connection, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '' }]);
    expect(await query(connection, 'SHOW fsync')).toEqual([{ fsync: 'on' }]);
    const pid = await postmaster();
    await first.stop();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    const second = new EmbeddedPostgres({ root, logger });
    expect(await query(await second.start(), 'SELECT n FROM t')).toEqual([{ n: 1 }]);
    await second.stop();
  });

  it('comes back within 5 s after a kill -9, and meanwhile writes fail as UNAVAILABLE', async () => {
    const embedded = new EmbeddedPostgres({ root, logger });
    const connection = await embedded.start();
    const database = new Database({ connection, logger });
    await database.run((tx) => tx.$executeRaw`CREATE TABLE t (n int)`);
    process.kill(await postmaster(), 'SIGKILL');
    const began = performance.now();
    const failures: unknown[] = [];
    // Its other processes live for a moment longer than it does, and may still write.
    let back = false;
    while (!back && performance.now() - began < 5_000) {
      const attempt = database.transaction((tx) => tx.$executeRaw`INSERT INTO t VALUES (1)`);
      await attempt.then(
        () => {
          back = failures.length > 0;
        },
        (error) => failures.push(error),
      );
    }
    expect(back).toBe(true);
    for (const failure of failures) expect(failure).toMatchObject({ code: 'UNAVAILABLE', reason: 'DATABASE_UNAVAILABLE' });
    expect(failures[0]).toBeInstanceOf(AppError);
    await database.close();
    await embedded.stop();
  });

  it('ends what a killed control plane left behind, and starts anew on its data', async () => {
    const left = new EmbeddedPostgres({ root, logger });
    await query(await left.start(), 'CREATE TABLE t AS SELECT 7 AS n');
    const pid = await postmaster();
    const next = new EmbeddedPostgres({ root, logger });
    // The first one must not start it again: as if it had been killed.
    Object.assign(left, { stopping: true });
    const connection = await next.start();
    expect(await postmaster()).not.toBe(pid);
    expect(await query(connection, 'SELECT n FROM t')).toEqual([{ n: 7 }]);
    await next.stop();
  });

  it('does not touch a process that merely has the pid of a stale file', async () => {
    const first = new EmbeddedPostgres({ root, logger });
    await first.start();
    await first.stop();
    const innocent = spawn('sleep', ['60'], { stdio: 'ignore' });
    await once(innocent, 'spawn');
    await writeFile(join(root, 'postgres', 'postmaster.pid'), `${innocent.pid}\n`);
    const second = new EmbeddedPostgres({ root, logger });
    await second.start();
    await second.stop();
    expect(innocent.exitCode).toBeNull();
    innocent.kill();
    await once(innocent, 'exit');
  });

  it('works below a path that is too long for a socket', async () => {
    const deep = join(root, 'x'.repeat(100));
    await mkdir(deep, { mode: 0o711 });
    const embedded = new EmbeddedPostgres({ root: deep, logger });
    const connection = await embedded.start();
    expect(connection.host.length).toBeLessThan(90);
    expect(await query(connection, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    await embedded.stop();
  });
});
