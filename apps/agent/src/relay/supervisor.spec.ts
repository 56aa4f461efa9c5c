import { mkdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../testing/fake-clock.js';
import { stopRelay } from './client.js';
import { FakeEngine } from './engine.fake.js';
import { RelayProcess } from './process/relay-process.js';
import { RelaySupervisor } from './supervisor.js';
import { until } from './testing-program.js';
import { RelayYard } from './testing-relay.js';

const log = createLogger({ name: 'spec', level: 'silent' });

let yard: RelayYard;
/** Of the relays. */
let clock: FakeClock;
/** Of the agent. */
let ours: FakeClock;
let engine: FakeEngine;
let build: () => Promise<string>;
let notified: number;
let restored: () => Promise<void>;
let restores: number;

beforeEach(async () => {
  [clock, ours] = [new FakeClock(), new FakeClock()];
  yard = await RelayYard.make(clock);
  build = async () => yard.build;
  [notified, restores] = [0, 0];
  restored = async () => undefined;
  engine = new FakeEngine();
  yard.relays.push({
    relay: await RelayProcess.start(yard.options(engine)),
    engine,
    command: { program: '', args: [], log: '' },
  });
});
afterEach(async () => {
  engine.flowsEnd();
  await yard.clear();
});

function supervisor(): RelaySupervisor {
  const program = { program: '/relay', args: [], build: () => build() };
  const one = new RelaySupervisor({ paths: yard.paths, program, start: yard.start, clock: ours, log });
  one.supervise({
    wanted: () => [],
    restored: () => {
      restores++;
      return restored();
    },
    notify: () => notified++,
  });
  one.need(true);
  return one;
}

describe('a relay that says what it uses', () => {
  it('is no reason to look at everything, unless it runs out of descriptors', async () => {
    const one = supervisor();
    await one.find();
    for (let connections = 1; connections < 4; connections++) {
      engine.inUse = { ...engine.inUse, connections };
      await clock.advance(1_000);
      await until(() => one.state().use?.connections === connections, 'it said so');
    }
    expect(notified).toBe(0);
    engine.inUse = { ...engine.inUse, paused: true };
    await clock.advance(1_000);
    await until(() => notified === 1, 'that is told');
  });
});

describe('a connection to the relay that breaks', () => {
  it('is no death of it', async () => {
    const one = supervisor();
    (await one.find())?.close();
    await until(() => one.state().loss !== undefined, 'it looks like one');
    await ours.advance(0);
    await until(() => restores === 1, 'it was found again');
    expect(one.state()).toMatchObject({ loss: undefined, trouble: undefined, hello: { pid: process.pid } });
  });

  it('and what cannot be set right then is tried again after a while, not in a loop', async () => {
    restored = () => Promise.reject(new Error('not as wanted'));
    const one = supervisor();
    (await one.find())?.close();
    await until(() => ours.next === 0, 'it is due');
    await ours.advance(0);
    await until(() => restores === 1 && ours.next !== undefined, 'it was tried');
    expect(ours.next).toBeGreaterThanOrEqual(100);
    restored = async () => undefined;
    await ours.advance(100);
    await until(() => restores === 2, 'it is tried again');
  });

  it('again and again is told while nothing is done about it', async () => {
    const one = supervisor();
    (await one.find())?.close();
    await until(() => one.state().hello === undefined, 'it is gone');
    expect(notified).toBe(0);
    (await one.find())?.close();
    await until(() => one.state().hello === undefined && one.state().loss !== undefined, 'it is gone again');
    expect(notified).toBe(1);
  });
});

describe('a relay of another build', () => {
  it('that cannot be replaced is told of, until there is a new one', async () => {
    yard.failure = 'it ended with exit code 1';
    build = async () => 'two';
    const one = supervisor();
    const link = await one.find();
    expect(one.state().upgradeTrouble).toContain('exit code 1');
    yard.failure = undefined;
    if (link) await stopRelay(link);
    await one.ensure();
    expect(one.state().upgradeTrouble).toBeUndefined();
  });

  it('that ends while it is to be replaced is gone, and not one that cannot be replaced', async () => {
    const [relay] = yard.relays;
    build = async () => {
      await relay?.relay.terminate();
      return 'two';
    };
    const one = supervisor();
    expect(await one.find()).toBeUndefined();
    expect(one.state()).toMatchObject({ hello: undefined, upgradeTrouble: undefined, loss: undefined });
  });

  it('is told of where nobody can find out what is on the disk', async () => {
    build = () => Promise.reject(new Error('ENOENT: main.js'));
    const one = supervisor();
    expect((await one.find())?.alive).toBe(true);
    expect(one.state().upgradeTrouble).toContain('internal error');
  });
});

const hello = { protocol: 1, build: 'one', engine: 'native', why: 'so', pid: 1, started: 0, draining: true };

describe('a relay that was replaced and does not let go', () => {
  it('is not waited for', async () => {
    build = async () => 'two';
    const [relay] = yard.relays.splice(0);
    await relay?.relay.terminate();
    let answered = 0;
    const server = createServer((peer) => {
      peer.on('error', () => undefined);
      createInterface({ input: peer }).on('line', (line) => {
        const { id, op } = JSON.parse(line) as { id: number; op: string };
        peer.write(`${JSON.stringify({ id, ok: op === 'hello' ? hello : { pid: 2 } })}\n`);
        if (op === 'upgrade') answered++;
      });
    });
    await new Promise<void>((listening) => server.listen(yard.paths.socket, listening));
    const one = supervisor();
    const found = one.find();
    await until(() => answered === 1 && ours.next === 10_000, 'it says that another one listens');
    await ours.advance(10_000);
    expect((await found)?.alive).toBe(true);
    expect(one.state()).toMatchObject({ loss: undefined, upgradeTrouble: undefined, draining: [1] });
    (await found)?.close();
    server.close();
  });
});

describe('relays that drain', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  /** Answers the greeting so; resolves when the connection is gone. */
  async function answers(socket: string, value: unknown): Promise<{ readonly gone: Promise<void> }> {
    await mkdir(dirname(socket), { recursive: true });
    let end: () => void;
    const gone = new Promise<void>((resolve) => {
      end = resolve;
    });
    const server = createServer((peer) => {
      peer.once('close', () => end()).on('error', () => undefined);
      peer.once('data', () => peer.write(`${JSON.stringify({ id: 1, ok: value })}\n`));
    });
    servers.push(server);
    await new Promise<void>((listening) => server.listen(socket, listening));
    return { gone };
  }

  it('are asked although one of them does not speak as it must, and are let go of', async () => {
    const good = await answers(yard.paths.draining(1), hello);
    await answers(yard.paths.draining(2), { ...hello, pid: 'two' });
    const one = supervisor();
    const asked: number[] = [];
    const pids = await one.askDraining(async (link) => void asked.push(link.hello.pid));
    await good.gone;
    expect([[...pids].sort(), asked]).toEqual([[1, 2], [1]]);
    expect(one.state().silent).toEqual([{ pid: 2, why: expect.stringContaining('hello.pid') }]);
    expect(notified).toBe(1);
    // It is tried again each time, and told once.
    await one.askDraining(async () => undefined);
    expect(notified).toBe(1);
  });
});
