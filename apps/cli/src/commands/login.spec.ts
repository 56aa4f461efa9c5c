import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FakeControlPlane } from '../testing/fake-control-plane.js';
import { TOKEN } from '../testing/fake-server.js';
import { Sandbox } from '../testing/run.js';

let fake: FakeControlPlane;
let other: FakeControlPlane;
let sandbox: Sandbox;
let ca: string;
let tokenFile: string;

beforeAll(async () => {
  fake = await FakeControlPlane.start();
  other = await FakeControlPlane.start();
});

afterAll(() => {
  fake.stop();
  other.stop();
});

beforeEach(async () => {
  sandbox = await Sandbox.make();
  ca = join(sandbox.dir, 'ca.crt');
  tokenFile = join(sandbox.dir, 'admin.token');
  await writeFile(ca, fake.server.certificates.ca);
  await writeFile(tokenFile, `${TOKEN}\n`);
});

afterEach(() => sandbox.remove());

const login = (server = fake.address, files: { ca?: string; token?: string } = {}, more: string[] = [], stdin?: string) =>
  sandbox.run(
    ['login', '--server', server, '--ca', files.ca ?? ca, '--token-file', files.token ?? tokenFile, ...more],
    stdin === undefined ? {} : { stdin },
  );

const stored = () => readFile(sandbox.configPath, 'utf8').catch(() => 'nothing stored');

describe('login', () => {
  it('asks who you are, then stores the context and uses it', async () => {
    const result = await login();
    expect(result).toEqual({
      code: 0,
      stdout: '',
      stderr: `logged in to ${fake.address} as admin (administrator); context default is in use\n`,
    });
    expect(await stored()).toContain(TOKEN);
    expect((await sandbox.run('status')).code).toBe(0);
  });

  it('reads the token from standard input', async () => {
    expect((await login(fake.address, { token: '-' }, ['--context', 'lab'], `${TOKEN}\n`)).code).toBe(0);
    expect((await sandbox.run('context list -o name')).stdout).toBe('lab\n');
  });

  it('replaces the context of the same name and keeps the others', async () => {
    await login(fake.address, {}, ['--context', 'a']);
    await login(fake.address, {}, ['--context', 'b']);
    await login(fake.address, {}, ['--context', 'a']);
    expect((await sandbox.run('context list --no-headers')).stdout).toBe(`    b   ${fake.address}\n*   a   ${fake.address}\n`);
  });

  it('takes a name in place of an address', async () => {
    expect((await login(`localhost:${fake.server.port}`)).code).toBe(0);
  });

  it.each([
    [
      'an unreadable token file',
      async () => login(fake.address, { token: join(sandbox.dir, 'missing') }),
      1,
      'there is no such file',
    ],
    ['a directory as token file', async () => login(fake.address, { token: sandbox.dir }), 1, 'it is a directory'],
    ['an empty token file', async () => login(fake.address, { token: '-' }, [], '\n'), 1, 'standard input holds no token'],
    ['two tokens', async () => login(fake.address, { token: '-' }, [], 'a\nb\n'), 1, 'more than one token'],
    ['a token that is not known', async () => login(fake.address, { token: '-' }, [], 'wrong\n'), 4, 'the token is not known'],
    ['a missing CA file', async () => login(fake.address, { ca: join(sandbox.dir, 'missing') }), 1, '--ca: cannot read'],
    ['a CA file that is none', async () => login(fake.address, { ca: tokenFile }), 1, 'holds no certificate'],
    ['nobody at the port', async () => login('127.0.0.1:1'), 1, 'connection refused'],
    ['a bad server', async () => login('127.0.0.1'), 2, '--server: "127.0.0.1" names no port'],
    ['a bad port', async () => login('127.0.0.1:70000'), 2, '--server: "70000" is not a port'],
    ['a bad name of a context', async () => login(fake.address, {}, ['--context', 'A_B']), 2, '--context: "A_B" is not a name'],
    ['a name that does not resolve', async () => login('nowhere.invalid:7443'), 1, 'does not resolve'],
  ])('refuses %s and stores nothing', async (_what, act, code, why) => {
    const result = await act();
    expect(result.stderr).toContain(why);
    expect(result.code).toBe(code);
    expect(result.stderr).not.toContain(TOKEN);
    expect(await stored()).toBe('nothing stored');
  });

  it('refuses a damaged CA', async () => {
    await writeFile(ca, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    const result = await login();
    expect(result).toMatchObject({ code: 1 });
    expect(result.stderr).toContain('holds a damaged certificate');
  });

  it("refuses a control plane of another CA's, before the token is sent", async () => {
    await writeFile(ca, other.server.certificates.ca);
    const before = fake.server.calls.length;
    const result = await login();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('its certificate was not signed by the CA that you gave');
    expect(fake.server.calls).toHaveLength(before);
  });

  it('refuses a certificate for another name', async () => {
    const named = await FakeControlPlane.start({ names: ['control.example.net'] });
    try {
      await writeFile(ca, named.server.certificates.ca);
      const result = await login(named.address);
      expect(result.code).toBe(1);
      expect(result.stderr).toContain('its certificate is for another name (DNS:control.example.net)');
      expect(result.stderr).toContain('--advertise');
      expect(named.server.calls).toEqual([]);
    } finally {
      named.stop();
    }
  });

  it('refuses a certificate that has expired', async () => {
    const old = await FakeControlPlane.start({ days: -1 });
    try {
      await writeFile(ca, old.server.certificates.ca);
      const result = await login(old.address);
      expect(result.code).toBe(1);
      expect(result.stderr).toContain('its certificate has expired');
    } finally {
      old.stop();
    }
  });

  it('says that something else answers there', async () => {
    const plain = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    const address = plain.address();
    try {
      const result = await login(`127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`);
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(/does not speak TLS|was reset/);
    } finally {
      plain.close();
    }
  });

  it('says that nobody answered in time', async () => {
    fake.server.answerNext('WhoAmI', { hangs: true });
    const result = await login(fake.address, {}, ['--timeout', '50ms']);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('did not answer WhoAmI within 50ms');
  });

  it('stops at Ctrl-C', async () => {
    fake.server.answerNext('WhoAmI', { hangs: true });
    const called = fake.server.nextCall('WhoAmI');
    const done = login();
    await called;
    sandbox.interrupt();
    expect((await done).code).toBe(130);
  });

  it('keeps what the control plane says when it says that it is not available', async () => {
    fake.server.answerNext('WhoAmI', {
      fails: new AppError({ code: 'UNAVAILABLE', reason: 'DATABASE_DOWN', message: 'the database does not answer; try again' }),
    });
    const result = await login();
    expect(result).toMatchObject({ code: 1, stderr: 'gwctl: the database does not answer; try again\n' });
  });

  it('does not put the token into the config file when others could read that', async () => {
    await mkdir(join(sandbox.dir, 'gwctl'));
    await writeFile(sandbox.configPath, 'apiVersion: gwctl/v1\nkind: Config\n');
    await chmod(sandbox.configPath, 0o644);
    const result = await login();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('chmod 600');
  });
});

describe('contexts', () => {
  beforeEach(async () => {
    await login(fake.address, {}, ['--context', 'a']);
    await login(fake.address, {}, ['--context', 'b']);
  });

  it('are chosen for good and for one command', async () => {
    expect(await sandbox.run('context use a')).toMatchObject({ code: 0 });
    expect((await sandbox.run('context show')).stdout).toContain('Name:             a\n');
    expect((await sandbox.run('--context b gateway list')).code).toBe(0);
    expect(await sandbox.run('gateway list --context c')).toMatchObject({ code: 3 });
    expect(await sandbox.run('context use c')).toMatchObject({ code: 3 });
  });

  it('never show the token', async () => {
    for (const format of ['', '-o table', '-o wide', '-o json', '-o yaml', '-o name']) {
      const list = await sandbox.run(`context list ${format}`);
      const show = await sandbox.run(`context show ${format}`);
      expect(list.stdout + list.stderr + show.stdout + show.stderr).not.toContain(TOKEN);
    }
  });

  it('are deleted, and the current one is then no more', async () => {
    expect((await sandbox.run('context delete b')).stderr).toContain('no context is in use now');
    expect(await stored()).toContain('name: a');
    expect(await sandbox.run('status')).toMatchObject({ code: 1 });
    expect(await sandbox.run('context delete b')).toMatchObject({ code: 3 });
  });

  it('are wanted', async () => {
    const fresh = await Sandbox.make();
    const result = await fresh.run('forward list');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('not logged in');
    expect(result.stderr).toContain('gwctl login --server');
    await fresh.remove();
  });
});
