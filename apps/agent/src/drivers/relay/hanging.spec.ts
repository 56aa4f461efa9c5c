/** Relays that stopped answering, as processes: stopped by SIGSTOP they still hold their sockets, and the kernel still lets people in. */
import { readdir } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../clock.js';
import type { PlacedRelayed } from '../../planner/types.js';
import { freePort, portOf, relayed, target } from '../../relay/testing.js';
import { alive, RelaySite, until } from '../../relay/testing-program.js';
import { RelayDriver } from './driver.js';

let site: RelaySite;
let echo: Server;
beforeAll(async () => {
  site = await RelaySite.make();
  echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  await new Promise<void>((listening) => echo.listen(0, '127.0.0.1', listening));
});
afterAll(async () => {
  await site.clear();
  echo.close();
});

const sockets: Socket[] = [];
const watches: { close(): void }[] = [];
afterEach(async () => {
  for (const watch of watches.splice(0)) watch.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  await site.supervisor().stop();
  site.build = 'one';
});

const on = (uid: string, port: number): PlacedRelayed => ({
  ...relayed({ uid, address: '127.0.0.1', port, targets: [target('127.0.0.1', portOf(echo))] }),
  key: `k-${uid}`,
});

/** An agent that starts now and has the relay carry `forward`. */
async function agent(forward: PlacedRelayed): Promise<RelayDriver> {
  const driver = idle();
  watches.push(driver.watch(() => undefined));
  const rendered = driver.render({ forwards: [], relayed: [forward], egresses: [], protected: [], announced: [] });
  await driver.apply(driver.diff(rendered, await driver.observe()));
  return driver;
}

const idle = (clock = systemClock) =>
  new RelayDriver({ relay: site.supervisor(clock), trial: async () => ({ supported: true, detail: 'tried' }), clock });

/** For whoever waits in vain for seconds. */
const hasty: Clock = { ...systemClock, after: (ms, run) => systemClock.after(ms / 5, run) };

async function says(port: number, text: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once('data', () => resolve());
    socket.once('close', () => reject(new Error('the connection ended')));
    socket.on('error', () => undefined).write(text);
  });
}

/** A relay that drains since it was replaced, with one connection, and the agent that replaced it. */
async function replaced(): Promise<{ readonly driver: RelayDriver; readonly port: number; readonly old: number }> {
  const port = await freePort();
  await agent(on('a', port));
  await says(port, 'one');
  const old = (await site.link()).hello.pid;
  for (const watch of watches.splice(0)) watch.close();
  site.build = 'two';
  return { driver: await agent(on('a', port)), port, old };
}

const flows = async (driver: RelayDriver) => (await driver.counters()).get('k-a')?.flows;
const namesLeft = async () => (await readdir(site.dir)).filter((file) => file.endsWith('.sock'));

describe('a relay that drains and hangs', () => {
  it('keeps nobody from counting: what it said last stays, and it is named until it answers again', async () => {
    const { driver, port, old } = await replaced();
    await until(async () => (await flows(driver)) === 1, 'the old one said what it counted');
    process.kill(old, 'SIGSTOP');
    await says(port, 'two');
    expect(await flows(driver)).toBe(2);
    const found = async () => driver.conditions(await driver.observe()).find((c) => c.type === 'RelaysAnswer');
    expect(await found()).toMatchObject({
      status: 'false',
      reason: 'RELAY_SILENT',
      message: expect.stringContaining(`pid ${old}`),
    });
    // It was waited for once.
    const began = performance.now();
    await says(port, 'three');
    expect(await flows(driver)).toBe(3);
    expect(performance.now() - began).toBeLessThan(1_500);
    process.kill(old, 'SIGCONT');
    await until(async () => (await flows(driver)) === 3 && (await found()) === undefined, 'it answers again');
  }, 30_000);

  it('is ended by a clean-up, and so is the one that listens', async () => {
    const { old } = await replaced();
    const { pid } = (await site.link()).hello;
    for (const watch of watches.splice(0)) watch.close();
    process.kill(old, 'SIGSTOP');
    const driver = idle(hasty);
    await driver.cleanUp();
    expect([alive(old), alive(pid)]).toEqual([false, false]);
    expect(driver.killed).toEqual([{ pid: old, why: expect.stringContaining('did not answer within 5 s') }]);
    expect(await namesLeft()).toEqual([]);
  }, 30_000);
});

describe('a relay that listens and hangs', () => {
  it('is ended by a clean-up, by somebody who has never spoken to it', async () => {
    await agent(on('a', await freePort()));
    const { pid } = (await site.link()).hello;
    for (const watch of watches.splice(0)) watch.close();
    process.kill(pid, 'SIGSTOP');
    const driver = idle(hasty);
    expect((await driver.detect()).supported).toBe(true);
    expect([...(await driver.processes())]).toEqual([pid]);
    await driver.cleanUp();
    expect(alive(pid)).toBe(false);
    expect(driver.killed.map((k) => k.pid)).toEqual([pid]);
    expect(await namesLeft()).toEqual([]);
  }, 30_000);
});
