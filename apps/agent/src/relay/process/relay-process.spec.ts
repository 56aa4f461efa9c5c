import { rename, rm, stat } from 'node:fs/promises';
import { connect, createServer, Socket } from 'node:net';
import { join } from 'node:path';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../clock.js';
import { FakeClock, settle } from '../../testing/fake-clock.js';
import { listCarried, removeForwards, setForwards, stopRelay, upgradeRelay, useOf } from '../client.js';
import { FakeEngine } from '../engine.fake.js';
import { RelayLink } from '../link.js';
import type { RelayEvent } from '../protocol.js';
import { relayed, target } from '../testing.js';
import { until } from '../testing-program.js';
import { RelayYard } from '../testing-relay.js';
import { wireForward } from '../wire-forward.js';
import { RelayProcess, type RelayProcessOptions } from './relay-process.js';
import { begun } from './successor.js';

const log = createLogger({ name: 'spec', level: 'silent' });
const on = (uid: string, port: number) => relayed({ uid, address: '127.0.0.1', port, targets: [target('10.0.0.10', 80)] });

let yard: RelayYard;
beforeEach(async () => {
  yard = await RelayYard.make(systemClock);
});
afterEach(() => yard.clear());

/** A relay that nobody started but the test, and a link to it. */
async function running(options: Partial<RelayProcessOptions> = {}) {
  const engine = new FakeEngine();
  const relay = await RelayProcess.start({ ...yard.options(engine), ...options });
  yard.relays.push({ relay, engine, command: { program: '', args: [], log: '' } });
  return { engine, relay, link: await linked() };
}

async function linked(socket = yard.paths.socket): Promise<RelayLink> {
  const link = await RelayLink.open({ socket, clock: systemClock, log });
  if (!link) throw new Error('no relay listens');
  return link;
}

describe('a relay', () => {
  it('says what it is, carries what it is told to, and says what it carries', async () => {
    const { link, engine } = await running();
    expect(link.hello).toMatchObject({ protocol: 1, build: 'one', engine: 'portable', pid: process.pid, draining: false });
    const [a, b] = [on('a', 80), on('b', 81)];
    expect(await setForwards(link, [a, b])).toEqual([]);
    expect(await listCarried(link)).toEqual([
      { uid: 'a', generation: 1, digest: wireForward(a).digest, dead: [], targets: [] },
      { uid: 'b', generation: 1, digest: wireForward(b).digest, dead: [], targets: [] },
    ]);
    await removeForwards(link, ['a', 'nobody']);
    expect((await listCarried(link, ['a', 'b'])).map((r) => r.uid)).toEqual(['b']);
    expect(engine.log).toEqual(['set a', 'set b', 'remove a']);
  });

  it('carries ten thousand in batches, and lists them', async () => {
    const { link } = await running();
    const many = Array.from({ length: 10_000 }, (_, i) => on(`f${i}`, 1000 + i));
    expect(await setForwards(link, many)).toEqual([]);
    const rows = await listCarried(link);
    expect(rows.length).toBe(10_000);
    expect(new Set(rows.map((r) => r.digest)).size).toBe(10_000);
  });

  it('refuses one and carries the others', async () => {
    const { link, engine } = await running();
    engine.taken.add(80);
    expect(await setForwards(link, [on('a', 80), on('b', 81)])).toEqual([
      { uid: 'a', reason: 'PORT_IN_USE', message: 'port 80 is taken by somebody else' },
    ]);
    const bad = `"op":"set","forwards":[{"forward":{"uid":"c"},"digest":"x"},{"forward":${wireForward(on('d', 83)).json},"digest":"y"}]`;
    const { rows } = await link.ask(bad);
    expect(rows).toMatchObject([{ uid: 'c', reason: 'FORWARD_INVALID' }]);
    expect((await listCarried(link)).map((r) => r.uid)).toEqual(['b', 'd']);
  });

  it('lets two swap listeners, and one follow another', async () => {
    const { link } = await running();
    await setForwards(link, [on('a', 80), on('b', 81)]);
    expect(await setForwards(link, [on('a', 81), on('b', 80)])).toEqual([]);
    expect(await setForwards(link, [on('c', 80), on('b', 82)])).toEqual([]);
    expect((await listCarried(link)).map((r) => r.uid).sort()).toEqual(['a', 'b', 'c']);
  });

  it('keeps what was there where a swap fails', async () => {
    const { link, engine } = await running();
    const before = [on('a', 80), on('b', 81)];
    await setForwards(link, before);
    engine.taken.add(82);
    const wider = relayed({ uid: 'a', address: '127.0.0.1', port: 81, last: 82, targets: [target('10.0.0.10', 80)] });
    const failures = await setForwards(link, [wider, on('b', 80)]);
    expect(failures.map((f) => f.uid).sort()).toEqual(['a', 'b']);
    const there = new Map((await listCarried(link)).map((r) => [r.uid, r]));
    for (const forward of before) expect(there.get(forward.uid)).toMatchObject({ digest: wireForward(forward).digest, dead: [] });
  });

  it('tells of dead listeners, of targets, and of changes', async () => {
    const { link, engine } = await running();
    await setForwards(link, [on('a', 80)]);
    engine.dead.add('tcp 80');
    engine.targets.set('a', [{ address: '10.0.0.10', port: 80, open: 0, health: 'unhealthy', trouble: 'refused' }]);
    const told = new Promise<RelayEvent>((resolve) =>
      link.onEvent((event) => {
        if (event.event === 'changed') resolve(event);
      }),
    );
    engine.options.onChange?.('a');
    expect(await told).toEqual({ event: 'changed', uids: ['a'] });
    expect(await listCarried(link)).toMatchObject([
      { dead: ['tcp 127.0.0.1:80'], targets: [{ health: 'unhealthy', trouble: 'refused' }] },
    ]);
  });

  it('is one: a second one does not start', async () => {
    await running();
    await expect(RelayProcess.start(yard.options(new FakeEngine()))).rejects.toMatchObject({ reason: 'RELAY_RUNNING' });
  });

  it('ends when told, and leaves no socket', async () => {
    const { link, relay, engine } = await running();
    await stopRelay(link);
    await relay.ended;
    expect(engine.stopped).toBe(true);
    await expect(stat(yard.paths.socket)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('ends a minute after the last forward and flow, not before', async () => {
    const clock = new FakeClock();
    const { link, relay, engine } = await running({ clock });
    await setForwards(link, [on('a', 80)]);
    await clock.advance(120_000);
    await removeForwards(link, ['a']);
    engine.inUse = { ...engine.inUse, connections: 1 };
    await clock.advance(120_000);
    expect(engine.stopped).toBe(false);
    engine.inUse = { ...engine.inUse, connections: 0 };
    await clock.advance(58_000);
    expect(engine.stopped).toBe(false);
    await clock.advance(5_000);
    expect(await link.closed).toBe('idle');
    await relay.ended;
  });

  it('asked to end by a signal lets go of its listeners, and ends with the last flow', async () => {
    const { link, relay, engine } = await running();
    await setForwards(link, [on('a', 80)]);
    engine.inUse = { ...engine.inUse, connections: 1 };
    void relay.terminate();
    expect(await link.closed).toBe('signal');
    await expect(stat(yard.paths.socket)).rejects.toMatchObject({ code: 'ENOENT' });
    const look = await linked(yard.paths.draining(process.pid));
    expect(look.hello.draining).toBe(true);
    expect((await useOf(look)).connections).toBe(1);
    await expect(setForwards(look, [on('b', 81)])).rejects.toMatchObject({ reason: 'RELAY_DRAINING' });
    engine.flowsEnd();
    await relay.ended;
    expect(engine.stopped).toBe(true);
  });

  it('asked twice ends at once', async () => {
    const { relay, engine } = await running();
    engine.inUse = { ...engine.inUse, connections: 1 };
    void relay.terminate();
    void relay.terminate();
    await relay.ended;
    expect(engine.stopped).toBe(true);
  });
});

describe('who may speak to it', () => {
  it('is told by the kernel, and anybody else is shown out', async () => {
    const engine = new FakeEngine();
    const credentials = () => ({ pid: 1, uid: 12_345, gids: [] });
    const relay = await RelayProcess.start({ ...yard.options(engine), credentials });
    yard.relays.push({ relay, engine, command: { program: '', args: [], log: '' } });
    expect(await RelayLink.open({ socket: yard.paths.socket, clock: systemClock, log })).toBeUndefined();
    expect((await stat(yard.paths.socket)).mode & 0o777).toBe(0o660);
  });

  it('is nobody but its own user where the kernel cannot be asked', async () => {
    await running();
    expect((await stat(yard.paths.socket)).mode & 0o777).toBe(0o600);
  });

  it.each(['no json\n', '{"id":1}\n', '{"id":1,"op":"fly"}\n', '{"id":1,"op":"stop","now":true}\n'])(
    'is shown out for %j',
    async (line) => {
      const { engine } = await running();
      const socket = connect(yard.paths.socket);
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.resume();
      socket.write(line);
      await closed;
      expect(engine.stopped).toBe(false);
    },
  );
});

describe('what is to be removed and cannot be', () => {
  it('is said to be carried still', async () => {
    const { link, engine } = await running();
    await setForwards(link, [on('a', 80)]);
    const { remove } = engine;
    engine.remove = () => Promise.reject(new Error('no worker answers'));
    await expect(removeForwards(link, ['a'])).rejects.toThrow('internal error');
    expect((await listCarried(link)).map((r) => r.uid)).toEqual(['a']);
    engine.remove = remove.bind(engine);
    await removeForwards(link, ['a']);
    expect(await listCarried(link)).toEqual([]);
  });
});

describe('a process that is started', () => {
  it('and says nothing more without ending is given up', async () => {
    const clock = new FakeClock();
    const [channel, killed] = [new Socket(), [] as string[]];
    const process = { pid: 1, channel, ended: new Promise<string>(() => undefined), kill: (s: string) => void killed.push(s) };
    const outcome = begun(process, 'legacy\n', clock, 100).catch((error: unknown) => error);
    channel.destroy();
    await settle();
    await clock.advance(100);
    expect(await outcome).toMatchObject({ reason: 'RELAY_NOT_STARTED' });
    expect(killed).toEqual(['SIGKILL']);
  });
});

describe('a relay under whose name another one listens', () => {
  /** Whatever it is that listens there; nobody any more where it is `gone`. */
  async function takesName(gone: boolean) {
    const server = createServer((peer) => peer.on('error', () => undefined).resume());
    await new Promise<void>((listening) => server.listen(join(yard.dir, 'other'), listening));
    await rename(join(yard.dir, 'other'), yard.paths.socket);
    if (gone) await new Promise((closed) => server.close(closed));
    return server;
  }

  it('lets go of its listeners, for no agent finds it, and ends with its last connection', async () => {
    const clock = new FakeClock();
    const { relay, engine, link } = await running({ clock });
    engine.inUse = { ...engine.inUse, connections: 1 };
    await clock.advance(1_000);
    const other = await takesName(false);
    await clock.advance(1_000);
    await until(() => engine.log.includes('drain'), 'it lets go');
    expect(await link.closed).toBe('upgraded');
    expect((await linked(yard.paths.draining(process.pid))).hello.draining).toBe(true);
    engine.flowsEnd();
    await relay.ended;
    other.close();
  });

  it('or listened, goes on: there is nobody else', async () => {
    const clock = new FakeClock();
    const { engine, link } = await running({ clock });
    await takesName(true);
    await clock.advance(2_000);
    await rm(yard.paths.socket);
    await clock.advance(2_000);
    expect([engine.log, link.alive]).toEqual([[], true]);
  });
});

describe('a signal while a successor is being started', () => {
  const program = { program: '/new', args: ['relay'] };
  let letStart: () => void;

  /** One with a connection, whose successor is on its way. */
  async function upgrading() {
    const gate = new Promise<void>((resolve) => {
      letStart = resolve;
    });
    let asked = false;
    const start: RelayProcessOptions['start'] = async (command) => {
      asked = true;
      await gate;
      return yard.start(command);
    };
    const one = await running({ start });
    one.engine.inUse = { ...one.engine.inUse, connections: 1 };
    yard.build = 'two';
    const upgrade = upgradeRelay(one.link, program);
    await until(() => asked, 'a successor is to be started');
    return { ...one, upgrade };
  }

  it('is heard once the successor listens: it lets go once, and ends with its last connection', async () => {
    const { relay, engine, link, upgrade } = await upgrading();
    void relay.terminate();
    await settle();
    // Until then it accepts as before, and is found.
    expect(engine.log).toEqual([]);
    letStart();
    expect(await upgrade).toEqual({ pid: process.pid });
    expect(await link.closed).toBe('upgraded');
    expect((await linked()).hello).toMatchObject({ build: 'two', draining: false });
    const look = await linked(yard.paths.draining(process.pid));
    expect(look.hello.draining).toBe(true);
    expect(engine.log).toEqual(['drain']);
    expect(engine.stopped).toBe(false);
    engine.flowsEnd();
    await relay.ended;
    await expect(stat(yard.paths.draining(process.pid))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('is heard where no successor comes to listen', async () => {
    const { relay, engine, link, upgrade } = await upgrading();
    yard.failure = 'it ended with exit code 1';
    void relay.terminate();
    letStart();
    await expect(upgrade).rejects.toThrow('it ended with exit code 1');
    expect(await link.closed).toBe('signal');
    await until(() => engine.log.includes('drain'), 'it lets go');
    engine.flowsEnd();
    await relay.ended;
    expect(engine.log).toEqual(['drain']);
  });

  it('a second time ends it at once, and what was started goes on', async () => {
    const { relay, engine, link, upgrade } = await upgrading();
    const gone = expect(upgrade).rejects.toMatchObject({ reason: 'RELAY_GONE' });
    void relay.terminate();
    void relay.terminate();
    await relay.ended;
    await gone;
    expect([engine.stopped, await link.closed]).toEqual([true, 'asked']);
    letStart();
    await until(() => yard.relays.length === 2, 'the successor listens');
    await settle();
    expect(engine.log).toEqual([]);
    expect((await linked()).hello).toMatchObject({ build: 'two', draining: false });
  });
});

describe('an upgrade', () => {
  const program = { program: '/new', args: ['relay'] };

  it('gives the successor what is carried, and drains', async () => {
    const { link, engine, relay } = await running();
    await setForwards(link, [on('a', 80)]);
    engine.inUse = { ...engine.inUse, connections: 1 };
    yard.build = 'two';
    expect(await upgradeRelay(link, program)).toEqual({ pid: process.pid });
    expect(await link.closed).toBe('upgraded');
    const next = await linked();
    expect(next.hello.build).toBe('two');
    expect((await listCarried(next)).map((r) => r.digest)).toEqual([wireForward(on('a', 80)).digest]);
    expect(yard.relays[1]?.command).toMatchObject({ program: '/new', descriptors: [-1] });
    expect(engine.log).toContain('drain');
    expect(engine.stopped).toBe(false);
    engine.flowsEnd();
    await relay.ended;
    // What the old one lets go of is its own name, not that of the new one.
    await expect(stat(yard.paths.socket)).resolves.toBeDefined();
    await expect(stat(join(yard.dir, `relay-${process.pid}.sock`))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('takes place although nothing is carried now', async () => {
    const { link, relay } = await running();
    yard.build = 'two';
    await upgradeRelay(link, program);
    await relay.ended;
    expect((await linked()).hello.build).toBe('two');
  });

  it('that fails changes nothing', async () => {
    const { link, engine } = await running();
    await setForwards(link, [on('a', 80)]);
    yard.failure = 'it ended with exit code 1';
    await expect(upgradeRelay(link, program)).rejects.toThrow('it ended with exit code 1');
    expect(await setForwards(link, [on('b', 81)])).toEqual([]);
    expect(engine.log).toEqual(['set a', 'set b']);
  });
});
