import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockOrExplain, tryLock } from '../system/file-lock.js';
import { replaceFile } from './atomic-file.js';
import { claimHost } from './only-agent.js';
import { makeStateDir, stateDir } from './state-dir.js';

const log = createLogger({ name: 'spec', level: 'silent' });

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gwctl-state-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('state directory', () => {
  it('is for nobody else, and may be passed through by the group where there is one', async () => {
    const own = stateDir(join(dir, 'own'));
    await makeStateDir(own, undefined);
    expect((await stat(own.path)).mode & 0o777).toBe(0o700);
    await makeStateDir(own, process.getgid?.());
    expect((await stat(own.path)).mode & 0o777).toBe(0o710);
  });

  it('that cannot be made is explained', async () => {
    await writeFile(join(dir, 'file'), '');
    await expect(makeStateDir(stateDir(join(dir, 'file', 'x')), undefined)).rejects.toMatchObject({
      reason: 'STATE_DIR_UNUSABLE',
    });
  });
});

describe('a file that is replaced', () => {
  it('is whole, private, and leaves nothing beside it, also when that fails', async () => {
    const path = join(dir, 'f');
    await replaceFile(path, 'one');
    await replaceFile(path, 'two');
    expect(await readFile(path, 'utf8')).toBe('two');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await expect(replaceFile(join(dir, 'none', 'f'), 'x')).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await readdir(dir)).toEqual(['f']);
  });
});

describe('the lock', () => {
  it('is held by one, names it, and can be taken again afterwards', () => {
    const path = join(dir, 'agent.lock');
    const lock = tryLock(path);
    expect(lock).toBeDefined();
    expect(() => lockOrExplain(path, 'stop it first')).toThrow(`pid ${process.pid}`);
    lock?.release();
    tryLock(path)?.release();
  });
});

describe('the only agent of a host', () => {
  const name = () => `\0gwctl-spec-${randomUUID()}`;

  it('is one', async () => {
    const mine = name();
    const claim = await claimHost(log, mine);
    await expect(claimHost(log, mine)).rejects.toMatchObject({
      reason: 'AGENT_RUNNING',
      message: expect.stringContaining(`pid ${process.pid}`),
    });
    claim.release();
    (await claimHost(log, mine)).release();
  });

  it('is found by who holds the name, whatever that does with connections', async () => {
    const mine = name();
    const other = createServer().listen(mine);
    await expect(claimHost(log, mine)).rejects.toMatchObject({ reason: 'AGENT_RUNNING' });
    other.close();
  });
});
