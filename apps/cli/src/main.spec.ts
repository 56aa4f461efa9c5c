/** The program as people run it: bundled, in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeControlPlane } from './testing/fake-control-plane.js';
import { TOKEN } from './testing/fake-server.js';

let dir: string;
let fake: FakeControlPlane;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gwctl-main-'));
  await build({
    entryPoints: [join(import.meta.dirname, 'main.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    splitting: true,
    outdir: join(dir, 'bundle'),
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
    },
    logLevel: 'error',
  });
  await writeFile(join(dir, 'bundle', 'package.json'), '{"type":"module"}');
  fake = await FakeControlPlane.start();
  fake.addGateway('gw1');
  await writeFile(join(dir, 'ca.crt'), fake.server.certificates.ca);
});

afterAll(async () => {
  fake.stop();
  await rm(dir, { recursive: true, force: true });
});

function start(
  words: readonly string[],
): ChildProcess & { stdin: NodeJS.WritableStream; stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream } {
  const child = spawn(process.execPath, [join(dir, 'bundle', 'main.js'), ...words], {
    env: { ...process.env, GWCTL_CONFIG: join(dir, 'config.yaml') },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 20_000,
  });
  return child as ReturnType<typeof start>;
}

async function run(words: string, stdin = '') {
  const child = start(words.split(' '));
  child.stdin.end(stdin);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, stdout, stderr };
}

describe('the program', () => {
  it('prints its version and nothing else', async () => {
    expect(await run('version')).toEqual({ code: 0, stdout: expect.stringMatching(/^gwctl \S+\n$/), stderr: '' });
  });

  it('logs in and lists, with no warning of Node.js on the way', async () => {
    const login = await run(`login --server ${fake.address} --ca ${join(dir, 'ca.crt')} --token-file -`, TOKEN);
    expect(login).toMatchObject({ code: 0, stdout: '', stderr: expect.stringMatching(/^logged in to .*\n$/) });
    expect(await run('gateway list -o name')).toEqual({ code: 0, stdout: 'gw1\n', stderr: '' });
    expect(await run('gateway get gw1 -o yaml')).toMatchObject({ code: 0, stderr: '' });
  });

  it('uses the exit codes of the table', async () => {
    expect((await run('nonsense')).code).toBe(2);
    expect((await run('forward get nothing')).code).toBe(3);
  });

  it('ends quietly when the reader has seen enough', async () => {
    for (let i = 0; i < 3000; i++) fake.gateways.set(`many-${i}`, fake.addGateway(`many-${i}`, { text: 'x'.repeat(60) }));
    const child = start(['gateway', 'list', '-o', 'wide']);
    child.stdin.end();
    const stderr = text(child.stderr);
    child.stdout.once('data', () => (child.stdout as unknown as { destroy(): void }).destroy());
    const [code, signal] = await once(child, 'close');
    expect({ code, signal, stderr: await stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  });

  it('ends with 130 at Ctrl-C while it waits', async () => {
    const watched = fake.server.nextCall('WatchForward');
    const child = start('forward add web --gateway gw1 --listen 8080 --target 192.0.2.1:80 --wait'.split(' '));
    child.stdin.end();
    const stderr = text(child.stderr);
    await watched;
    child.kill('SIGINT');
    const [code] = await once(child, 'close');
    expect(code).toBe(130);
    expect(await stderr).toContain('stopped waiting; the change of forward web is stored and goes on');
  });
});
