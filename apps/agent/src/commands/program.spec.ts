import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import { formatJoinString } from '@gwctl/shared/wire/join-string';
import { CommanderError } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeControlPlane } from '../testing/fake-control-plane.js';
import { exitCodeOf, USAGE } from './exit-codes.js';
import { makeProgram } from './program.js';

let dir: string;
let plane: FakeControlPlane;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gwctl-program-'));
  plane = await FakeControlPlane.start();
});
afterAll(async () => {
  plane.stop();
  await rm(dir, { recursive: true, force: true });
});

/** Runs a command as main.ts does. */
async function run(...args: string[]): Promise<{ code: number; data: string; talk: string }> {
  const data: string[] = [];
  const talk: string[] = [];
  const program = makeProgram({ data: (text) => data.push(text), talk: (line) => talk.push(line) });
  const quiet = { writeOut: (text: string) => data.push(text), writeErr: (text: string) => talk.push(text) };
  const silence = (command: typeof program) => {
    command.configureOutput(quiet);
    for (const sub of command.commands) silence(sub as typeof program);
  };
  silence(program);
  let code = 0;
  try {
    await program.parseAsync(['node', 'gwctl-agent', ...args]);
  } catch (error) {
    if (error instanceof CommanderError) code = error.exitCode === 0 ? 0 : USAGE;
    else {
      const failure = AppError.from(error);
      talk.push(failure.message);
      code = exitCodeOf(failure);
    }
  }
  return { code, data: data.join('\n'), talk: talk.join('\n') };
}

const joinString = (token = plane.token, fingerprint = plane.ca.fingerprint) =>
  formatJoinString({ servers: [plane.address], caFingerprint: fingerprint, gateway: 'gw1', token });

describe('gwctl-agent', () => {
  it('joins from a file, once', async () => {
    const file = join(dir, 'join.txt');
    await writeFile(file, `${joinString()}\n`);
    const state = join(dir, 'joined');
    expect(await run('join', '--join-string-file', file, '--state-dir', state)).toMatchObject({
      code: 0,
      talk: expect.stringContaining('joined as gateway gw1'),
    });
    expect(await run('join', '--join-string-file', file, '--state-dir', state)).toMatchObject({ code: 5 });
  });

  it.each<{ what: string; args: () => string[]; code: number; says: string }>([
    { what: 'no join string', args: () => ['join'], code: 2, says: 'name the join string once' },
    {
      what: 'two join strings',
      args: () => ['join', 'x', '--join-string-file', 'y'],
      code: 2,
      says: 'name the join string once',
    },
    { what: 'a damaged join string', args: () => ['join', 'gwctl-join-1.xx'], code: 2, says: 'damaged' },
    { what: 'a file that is missing', args: () => ['join', '--join-string-file', '/none'], code: 1, says: '/none' },
    { what: 'a bad token', args: () => ['join', joinString('spent')], code: 4, says: 'token' },
    { what: 'another CA', args: () => ['join', joinString('x', 'ab'.repeat(32))], code: 1, says: 'the token was not sent' },
    { what: 'an unknown flag', args: () => ['run', '--bogus'], code: 2, says: 'unknown option' },
    { what: 'an unknown driver', args: () => ['run', '--driver', 'x'], code: 2, says: 'Use one of auto' },
    { what: 'an unknown command', args: () => ['fly'], code: 2, says: "unknown command 'fly'" },
    { what: 'a gateway that never joined', args: () => ['run'], code: 3, says: 'gwctl gateway add' },
    { what: 'no running agent', args: () => ['status'], code: 1, says: 'no agent runs here' },
    { what: 'no running relay', args: () => ['flows'], code: 1, says: 'no relay runs here' },
    { what: 'no flows to show', args: () => ['flows', '--most', '0'], code: 2, says: 'from 1 to 100000' },
    { what: 'a policy that is missing', args: () => ['policy', 'check', '/none'], code: 3, says: '/none' },
  ])('answers $what with $code', async ({ args, code, says }) => {
    const state = ['join', 'run', 'status', 'flows'].includes(args()[0] ?? '') ? ['--state-dir', join(dir, 'empty')] : [];
    const result = await run(...args(), ...state);
    expect(result).toMatchObject({ code, talk: expect.stringContaining(says) });
    expect(result.talk).not.toContain('gwctl-join-1');
  });

  it('shows what a policy permits', async () => {
    const file = join(dir, 'policy.yaml');
    await writeFile(file, 'apiVersion: gwctl/v1\nkind: Policy\nlisten: { ports: [443] }\n', { mode: 0o600 });
    const { code, data } = await run('policy', 'check', file);
    expect({ code, data }).toEqual({ code: 0, data: expect.stringContaining('ports         443') });
    expect(data).toContain('forbidden     loopback, link-local');
    await writeFile(file, 'apiVersion: gwctl/v1\nkind: Policy\ntargets: { allow: [127.0.0.1, 10.0.0.0/8] }\n');
    expect((await run('policy', 'check', file)).data).toContain('forbidden     link-local');
  });

  it.each([[['--help']], [['join', '--help']], [['version']], [['--version']]])('%j is no error', async (args) => {
    expect((await run(...args)).code).toBe(0);
  });
});
