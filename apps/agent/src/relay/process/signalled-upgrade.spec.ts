/** SIGTERM to a relay as a process, while its successor is on its way. */
import { readdir } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { setForwards, upgradeRelay } from '../client.js';
import { freePort, listening, portOf, relayed, target } from '../testing.js';
import { alive, RelaySite, until } from '../testing-program.js';

let site: RelaySite;
let echo: Server;
const sockets: Socket[] = [];
beforeEach(async () => {
  site = await RelaySite.make();
  echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  await listening(echo);
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await site.clear();
  echo.close();
});

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  await answers(socket);
  return socket;
}

function answers(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('data', () => resolve());
    socket.once('error', reject).once('close', () => reject(new Error('the connection ended')));
    socket.write('hello');
  });
}

it('is heard once the successor listens: nobody is refused, nothing is cut, and one relay is left when the last connection ends', async () => {
  const port = await freePort();
  const link = await site.supervisor().ensure();
  const old = link.hello.pid;
  const forward = relayed({ address: '127.0.0.1', port, targets: [target('127.0.0.1', portOf(echo))] });
  expect(await setForwards(link, [forward])).toEqual([]);
  const socket = await open(port);
  site.build = 'two';
  // A successor that takes its time.
  const main = [process.execPath, join(site.dir, 'main.mjs'), site.dir, 'two'].map((word) => `'${word}'`).join(' ');
  const upgrade = upgradeRelay(link, { program: '/bin/sh', args: ['-c', `sleep 0.5; exec ${main}`] });
  process.kill(old, 'SIGTERM');
  let upgraded = false;
  void upgrade.then(() => {
    upgraded = true;
  });
  do await open(port);
  while (!upgraded);
  expect(await link.closed).toBe('upgraded');
  const next = await site.link();
  expect(next.hello).toMatchObject({ build: 'two', pid: (await upgrade).pid });
  await open(port);
  await answers(socket);
  expect((await readdir(site.dir)).filter((f) => f.endsWith('.sock')).sort()).toEqual([`relay-${old}.sock`, 'relay.sock']);
  for (const one of sockets.splice(0)) one.destroy();
  await until(() => !alive(old), 'the old one ended with its last connection');
  expect((await readdir(site.dir)).filter((f) => f.endsWith('.sock'))).toEqual(['relay.sock']);
}, 30_000);
