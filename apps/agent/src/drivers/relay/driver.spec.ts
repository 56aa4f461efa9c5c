import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../clock.js';
import type { HostDesired, PlacedRelayed } from '../../planner/types.js';
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

const watches: { close(): void }[] = [];
afterEach(async () => {
  for (const watch of watches.splice(0)) watch.close();
  await site.supervisor().stop();
  site.build = 'one';
});

/** As an agent that starts now: with no memory. */
function agent(options: { watched?: boolean } = {}) {
  const driver = new RelayDriver({
    relay: site.supervisor(),
    trial: async () => ({ supported: true, detail: 'tried' }),
    clock: systemClock,
  });
  let changes = 0;
  if (options.watched ?? true) {
    watches.push(
      driver.watch(() => {
        changes++;
      }),
    );
  }
  return {
    driver,
    get changes() {
      return changes;
    },
    async reconcile(...forwards: readonly PlacedRelayed[]) {
      const rendered = driver.render(desired(forwards));
      const { steps } = driver.diff(rendered, driver.mirror() ?? (await driver.observe()));
      await driver.apply({ steps });
      return { titles: steps.map((s) => s.title), rendered };
    },
  };
}

const desired = (forwards: readonly PlacedRelayed[]): HostDesired => ({
  forwards: [],
  relayed: [...forwards].sort((a, b) => (a.uid < b.uid ? -1 : 1)),
  egresses: [],
  protected: [],
  announced: [],
});

const on = (uid: string, port: number, to = portOf(echo)): PlacedRelayed => ({
  ...relayed({ uid, address: '127.0.0.1', port, targets: [target('127.0.0.1', to)] }),
  key: `k-${uid}`,
});

/** A connection through the relay. */
function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.once('error', reject);
  });
}

/** A connection that is not let through. */
function reset(port: number): Promise<void> {
  return new Promise((resolve) =>
    connect(port, '127.0.0.1')
      .on('error', () => undefined)
      .once('close', () => resolve()),
  );
}

function says(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (data) => resolve(data.toString()));
    socket.once('close', () => reject(new Error('the connection ended')));
    socket.write(text);
  });
}

describe('the relay driver', () => {
  it('starts nothing where nothing is to be carried', async () => {
    const one = agent();
    expect((await one.reconcile()).titles).toEqual([]);
    expect(one.driver.conditions(await one.driver.observe())).toEqual([]);
    expect((await one.driver.detect()).detail).toBe('tried');
  });

  it('carries, changes and lets go', async () => {
    const port = await freePort();
    const one = agent();
    expect((await one.reconcile(on('a', port))).titles).toEqual([`relay: listen on 127.0.0.1:${port}/tcp`]);
    const socket = await open(port);
    expect(await says(socket, 'hello')).toBe('hello');
    expect((await one.reconcile(on('a', port))).titles).toEqual([]);
    expect((await one.reconcile()).titles).toEqual(['relay: stop listening for forward a']);
    await expect(open(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(await says(socket, 'still')).toBe('still');
    socket.destroy();
  });

  it('counts, and tells whether targets were reached', async () => {
    const [port, nobody] = [await freePort(), await freePort()];
    const one = agent();
    const { rendered } = await one.reconcile(on('a', port), on('b', await freePort(), nobody));
    const socket = await open(port);
    expect(await says(socket, 'hello')).toBe('hello');
    expect((await one.driver.counters()).get('k-a')).toMatchObject({ packets: 0, bytes: 10, flows: 1, refused: 0 });
    const bad = rendered.relayed.get('b')?.listen.ports.first ?? 0;
    await reset(bad);
    await until(() => one.changes > 0, 'the change was announced');
    const observed = await one.driver.observe();
    expect(
      one.driver
        .targetHealth(observed)
        .get('a')
        ?.get(`127.0.0.1 ${portOf(echo)}`)?.state,
    ).toBe('healthy');
    expect(one.driver.findings(rendered, observed)).toMatchObject([
      { uid: 'b', condition: { type: 'TargetsReachable', status: 'false', reason: 'TARGET_UNREACHABLE' } },
    ]);
    socket.destroy();
  });

  it('counts those that drain after the one that listens: it may be replaced meanwhile', async () => {
    const asked: string[] = [];
    const relay = Object.assign(site.supervisor(), {
      find: async () => {
        asked.push('find');
        await new Promise((resolve) => setImmediate(resolve));
        asked.push('found');
        return undefined;
      },
      askDraining: async () => {
        asked.push('draining');
        return [];
      },
    });
    await new RelayDriver({ relay, trial: async () => ({ supported: true, detail: '' }), clock: systemClock }).counters();
    expect(asked).toEqual(['find', 'found', 'draining']);
  });

  it('reports the forward that cannot have its port, and serves the others', async () => {
    const taken = createServer();
    await new Promise<void>((listening) => taken.listen(0, '127.0.0.1', listening));
    const [port, busy] = [await freePort(), portOf(taken)];
    const one = agent();
    const { rendered } = await one.reconcile(on('a', busy), on('b', port));
    expect(one.driver.findings(rendered, await one.driver.observe())).toMatchObject([
      { uid: 'a', condition: { type: 'Applied', reason: 'PORT_IN_USE' }, instead: 'nothing' },
    ]);
    (await open(port)).destroy();
    // A fast pass does not try it again, a full one does.
    await one.reconcile(on('a', busy), on('b', port));
    expect((await one.reconcile(on('a', busy), on('b', port))).titles).toEqual([]);
    await new Promise((closed) => taken.close(closed));
    await one.driver.observe();
    const again = one.driver.diff(rendered, { ...(await one.driver.observe()) });
    await one.driver.apply(again);
    expect(one.driver.findings(rendered, await one.driver.observe())).toEqual([]);
    (await open(busy)).destroy();
  });

  it('that starts anew adopts what it finds and touches nothing', async () => {
    const port = await freePort();
    const first = agent();
    await first.reconcile(on('a', port));
    const socket = await open(port);
    const pid = (await site.link()).hello.pid;
    const second = agent();
    expect((await second.reconcile(on('a', port))).titles).toEqual([]);
    expect((await site.link()).hello.pid).toBe(pid);
    expect([...(await second.driver.processes())]).toContain(pid);
    expect(await says(socket, 'still')).toBe('still');
    socket.destroy();
  });

  it('has one of another build replaced: no connection is cut', async () => {
    const port = await freePort();
    const first = agent();
    await first.reconcile(on('a', port));
    const socket = await open(port);
    expect(await says(socket, 'one')).toBe('one');
    const old = (await site.link()).hello.pid;
    for (const watch of watches.splice(0)) watch.close();
    site.build = 'two';
    const second = agent();
    // Both have the listener, and neither the other's flows.
    expect((await second.reconcile(on('a', port))).titles).toEqual([]);
    const { hello } = await site.link();
    expect(hello).toMatchObject({ build: 'two' });
    expect(hello.pid).not.toBe(old);
    expect(await says(socket, 'two')).toBe('two');
    expect(await says(await open(port), 'three')).toBe('three');
    expect((await second.driver.counters()).get('k-a')).toMatchObject({ flows: 2, bytes: 22 });
    // The old one holds on to nothing but its connection.
    await second.reconcile();
    await expect(open(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await second.reconcile(on('a', port));
    expect(await says(socket, 'four')).toBe('four');
    socket.destroy();
    await until(() => !alive(old), 'the old one ended with its last connection');
    expect((await second.driver.counters()).get('k-a')).toMatchObject({ flows: 2 });
  });

  it('leaves one of another build alone where it only looks', async () => {
    const first = agent();
    await first.reconcile(on('a', await freePort()));
    const { pid } = (await site.link()).hello;
    for (const watch of watches.splice(0)) watch.close();
    site.build = 'two';
    await agent({ watched: false }).driver.observe();
    expect((await site.link()).hello.pid).toBe(pid);
  });

  it('starts one that was killed again, with all it carried, and says what was lost', async () => {
    const port = await freePort();
    const one = agent();
    const { rendered } = await one.reconcile(on('a', port));
    const socket = await open(port);
    expect(await says(socket, 'hello')).toBe('hello');
    await until(() => one.driver.mirror()?.state.use?.connections === 1, 'the relay said what it uses');
    const { pid } = (await site.link()).hello;
    const began = performance.now();
    process.kill(pid, 'SIGKILL');
    await until(async () => (await open(port).catch(() => undefined))?.destroy() !== undefined, 'it listens again');
    expect(performance.now() - began).toBeLessThan(1_000);
    await until(() => one.driver.mirror()?.state.loss?.again !== undefined, 'the agent knows');
    const observed = await one.driver.observe();
    expect(one.driver.drift(rendered, observed)).toEqual([]);
    const died = one.driver.conditions(observed).find((c) => c.type === 'RelayUninterrupted');
    expect(died).toMatchObject({ status: 'false', reason: 'RELAY_DIED' });
    expect(died?.message).toMatch(
      new RegExp(`pid ${pid}\\).* listened again \\d+ ms later: 1 TCP connection and 0 UDP clients were open`),
    );
    expect(one.driver.conditions({ ...observed, now: observed.now + 600_001 }).map((c) => c.type)).toEqual([
      'RelayRunning',
      'RelayEngine',
    ]);
  });

  it('that finds the relay gone calls that drift, and repairs it', async () => {
    const port = await freePort();
    const one = agent({ watched: false });
    const { rendered } = await one.reconcile(on('a', port));
    process.kill((await site.link()).hello.pid, 'SIGKILL');
    await until(() => one.driver.mirror() === undefined, 'what it carried counts no more');
    await until(async () => (await one.driver.observe()).state.hello === undefined, 'it is gone');
    const observed = await one.driver.observe();
    expect(one.driver.drift(rendered, observed)).toMatchObject([
      { forwards: ['a'], drift: { cause: 'missing', object: 'relay/process' } },
    ]);
    await until(
      async () =>
        one.reconcile(on('a', port)).then(
          () => true,
          () => false,
        ),
      'it may be started again',
    );
    (await open(port)).destroy();
  });

  it('cleans up without memory: process and sockets are gone', async () => {
    const port = await freePort();
    await agent().reconcile(on('a', port));
    const { pid } = (await site.link()).hello;
    for (const watch of watches.splice(0)) watch.close();
    await agent({ watched: false }).driver.cleanUp();
    await until(() => !alive(pid), 'it ended');
    await expect(site.link()).rejects.toThrow('no relay listens');
    await expect(open(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('says why a relay does not start, and rests before it tries again', async () => {
    const driver = new RelayDriver({
      relay: site.supervisor(),
      trial: async () => ({ supported: true, detail: '' }),
      clock: systemClock,
    });
    site.told = '/nonexistent';
    const rendered = driver.render(desired([on('a', await freePort())]));
    await expect(driver.apply(driver.diff(rendered, await driver.observe()))).rejects.toMatchObject({
      reason: 'RELAY_NOT_STARTED',
    });
    await expect(driver.apply(driver.diff(rendered, await driver.observe()))).rejects.toThrow('started again in');
    expect(driver.conditions(await driver.observe())).toMatchObject([
      { type: 'RelayRunning', status: 'false', reason: 'RELAY_DOWN', message: expect.stringContaining('cannot be made') },
    ]);
    site.told = undefined;
  });
});
