import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEnvironment } from '../config/environment.js';
import { CliError } from '../errors/cli-error.js';
import { errorLines } from '../errors/render.js';
import { ConfigStore, parseConfig } from './config-file.js';

const SECRET = 'gwctl-canary-secret';
const entry = {
  name: 'lab',
  server: '127.0.0.1:7443',
  ca: '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n',
  token: SECRET,
};

let dir: string;
let store: ConfigStore;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gwctl-config-'));
  store = new ConfigStore({ path: join(dir, 'deep', 'config.yaml') });
});

afterEach(() => rm(dir, { recursive: true, force: true }));

const failure = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(CliError);
  return errorLines(error as CliError).join('\n');
};

describe('ConfigStore', () => {
  it('has no contexts where there is no file', async () => {
    expect(await store.read()).toEqual({ contexts: [] });
  });

  it('reads back what it wrote, for its owner alone, and leaves nothing else behind', async () => {
    const config = { current: 'lab', contexts: [entry] };
    await store.write(config);
    expect(await store.read()).toEqual(config);
    expect((await stat(store.path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(dir, 'deep'))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(dir, 'deep'))).toEqual(['config.yaml']);
    expect(await readFile(store.path, 'utf8')).toContain('apiVersion: gwctl/v1\nkind: Config\ncurrentContext: lab\n');
  });

  it('is 0600 whatever the umask', async () => {
    const before = process.umask(0);
    try {
      await store.write({ contexts: [entry] });
    } finally {
      process.umask(before);
    }
    expect((await stat(store.path)).mode & 0o777).toBe(0o600);
  });

  it.each([0o640, 0o604, 0o660])('refuses a file that others may read (%o)', async (mode) => {
    await store.write({ contexts: [entry] });
    await chmod(store.path, mode);
    const text = await failure(store.read());
    expect(text).toContain(`mode 0${mode.toString(8)}`);
    expect(text).toContain(`chmod 600 ${store.path}`);
  });

  it.each([
    ['[', 'it is not YAML'],
    ['just text', 'is not a mapping'],
    ['apiVersion: gwctl/v2\nkind: Config\n', 'must be gwctl/v1 and Config'],
    [`apiVersion: gwctl/v1\nkind: Config\ncontexts: ${SECRET}\n`, 'contexts: must be a list'],
    ['apiVersion: gwctl/v1\nkind: Config\nextra: 1\n', 'extra: is not known here'],
    [
      `apiVersion: gwctl/v1\nkind: Config\ncontexts:\n  - {name: Bad_Name, server: nowhere, ca: x, token: "${SECRET} two"}\n`,
      'contexts[0].server',
    ],
    [
      `apiVersion: gwctl/v1\nkind: Config\ncontexts:\n  - {name: a, server: "a:1", ca: x, token: ${SECRET}, more: 1}\n`,
      'contexts[0].more',
    ],
    ['apiVersion: gwctl/v1\nkind: Config\ncontexts:\n  - {name: a, server: "a:1", ca: x}\n', 'contexts[0].token: is missing'],
  ])('refuses %j, says where, and repeats no secret', async (text, why) => {
    await store.write({ contexts: [] });
    await writeFile(store.path, text);
    const shown = await failure(store.read());
    expect(shown).toContain(why);
    expect(shown).not.toContain(SECRET);
  });

  it('says all that is wrong at once', () => {
    const parsed = parseConfig({ apiVersion: 'x', kind: 'Config', contexts: [{}, entry, entry] });
    expect(parsed.ok ? 0 : parsed.error.length).toBeGreaterThanOrEqual(6);
  });

  it('says why it cannot write', async () => {
    const blocked = new ConfigStore({ path: join(dir, 'file', 'config.yaml') });
    await writeFile(join(dir, 'file'), '');
    expect(await failure(blocked.write({ contexts: [] }))).toContain('cannot write');
  });
});

describe('readEnvironment', () => {
  it.each([
    [{ GWCTL_CONFIG: '/a/b.yaml', XDG_CONFIG_HOME: '/x', HOME: '/h' }, '/a/b.yaml'],
    [{ XDG_CONFIG_HOME: '/x', HOME: '/h' }, '/x/gwctl/config.yaml'],
    [{ XDG_CONFIG_HOME: 'relative', HOME: '/h' }, '/h/.config/gwctl/config.yaml'],
    [{ HOME: '/h' }, '/h/.config/gwctl/config.yaml'],
    [{ GWCTL_CONFIG: '', HOME: '/h' }, '/h/.config/gwctl/config.yaml'],
  ])('%j: %s', (env, path) => {
    expect(readEnvironment(env).configPath).toBe(path);
  });
});
