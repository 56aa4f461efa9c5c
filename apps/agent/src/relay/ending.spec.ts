import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeClock } from '../testing/fake-clock.js';
import { endRelays } from './ending.js';
import { type RelayPaths, relayPaths } from './relay-paths.js';
import { alive, until } from './testing-program.js';

const log = createLogger({ name: 'spec', level: 'silent' });

let paths: RelayPaths;
let clock: FakeClock;
const servers: Server[] = [];
beforeEach(async () => {
  const path = await mkdtemp(join(tmpdir(), 'gwctl-relay-'));
  paths = relayPaths({ path, run: path });
  clock = new FakeClock();
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rm(paths.directory, { recursive: true });
});

/** Somebody who accepts and says nothing. */
async function mute(socket: string): Promise<Server> {
  const server = createServer((peer) => peer.on('error', () => undefined).resume());
  servers.push(server);
  await new Promise<void>((listening) => server.listen(socket, listening));
  return server;
}

it('nobody is killed for a name that a relay left, though its number is another process by now', async () => {
  const innocent = spawn('sleep', ['60']);
  try {
    const pid = innocent.pid ?? 0;
    const gone = await mute(join(paths.directory, 'gone'));
    await rename(join(paths.directory, 'gone'), paths.draining(pid));
    await new Promise((closed) => gone.close(closed));
    expect(await endRelays(paths, { clock, log })).toEqual([]);
    expect(await readdir(paths.directory)).toEqual([]);
    expect(alive(pid)).toBe(true);
  } finally {
    innocent.kill();
  }
});

it('somebody who answers nothing and is no process that the kernel knows for a relay is reported, and not killed', async () => {
  const innocent = spawn('sleep', ['60']);
  try {
    const pid = innocent.pid ?? 0;
    await mute(paths.draining(pid));
    const ended = endRelays(paths, { clock, log }).catch((error: unknown) => error);
    await until(() => clock.next === 5_000, 'it was asked');
    await clock.advance(5_000);
    expect(await ended).toMatchObject({
      reason: 'RELAY_NOT_ENDED',
      message: expect.stringContaining(`nobody can be found who holds ${paths.draining(pid)}`),
    });
    expect(alive(pid)).toBe(true);
  } finally {
    innocent.kill();
  }
});

it('where there is no directory there is nobody to end', async () => {
  const nowhere = relayPaths({ path: '/nonexistent', run: '/nonexistent' });
  expect(await endRelays(nowhere, { clock, log })).toEqual([]);
});
