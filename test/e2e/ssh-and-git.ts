import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Sshd } from '../lab/daemons/sshd.js';
import { scenario1 } from '../lab/scenario1.js';
import type { World } from './world.js';

/**
 * What scenario 1's forward is for: a session of the client with a real sshd behind the gateway's same port, and a clone of a repository
 * there; and a stranger, to whom it does not even answer.
 */
export async function expectSshAndGit(world: World, sshd: Sshd): Promise<void> {
  const through = { to: scenario1.gateway, port: sshd.port };
  const client = world.lab.host('client');
  expect((await sshd.ssh(client, { ...through, command: 'echo $USER on $(hostname)' })).stdout).toBe('git on gitbucket\n');
  const text = 'came through the gateway\n';
  await sshd.addRepository('demo', { 'README.md': text });
  const into = join(world.dir, 'clone');
  expect(await sshd.gitClone(client, { ...through, repository: 'demo', into })).toMatch(/^[0-9a-f]{40}$/);
  expect(readFileSync(join(into, 'README.md'), 'utf8')).toBe(text);
  const outsider = await sshd.ssh(world.lab.host('outsider'), { ...through, timeoutMs: 3_000, allowFailure: true });
  expect(outsider).toMatchObject({ code: 255, stderr: expect.stringMatching(/timed out/i) });
}
