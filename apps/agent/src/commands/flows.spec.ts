import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../clock.js';
import { setForwards } from '../relay/client.js';
import { FakeEngine } from '../relay/engine.fake.js';
import type { RelayFlow } from '../relay/engine.js';
import { RelayLink } from '../relay/link.js';
import { RelayProcess } from '../relay/process/relay-process.js';
import { type RelayPaths, relayPaths } from '../relay/relay-paths.js';
import { relayed, target } from '../relay/testing.js';
import { until } from '../relay/testing-program.js';
import { RelayYard } from '../relay/testing-relay.js';
import { type StateDir, stateDir } from '../state-dir/state-dir.js';
import type { StatusForward, StatusReport } from '../status/report.js';
import { StatusServer } from '../status/status-server.js';
import { FakeClock } from '../testing/fake-clock.js';
import { exitCodeOf } from './exit-codes.js';
import { flowsCommand } from './flows.js';
import { type FlowsReport, flowsReport } from './flows-report.js';

const log = createLogger({ name: 'spec', level: 'silent' });

let path: string;
let dir: StateDir;
let paths: RelayPaths;
let yard: RelayYard;
let agent: StatusServer | undefined;
/** Both relays are in this process: only when they started tells them apart, as it must where a pid is used again. */
let ticks: number;
const clock: Clock = { ...systemClock, now: () => ++ticks };

beforeEach(async () => {
  ticks = 0;
  path = await mkdtemp(join(tmpdir(), 'gwctl-flows-'));
  dir = stateDir(path);
  paths = relayPaths(dir);
  await mkdir(dir.run);
  yard = await RelayYard.make(clock);
});
afterEach(async () => {
  await agent?.stop();
  agent = undefined;
  // A relay asked to end awaits its last flow.
  for (const { engine } of yard.relays) engine.flowsEnd();
  await yard.clear();
  await rm(path, { recursive: true, force: true });
});

/** A relay that carries forwards with these uids, with flows of theirs. */
async function running(flows: readonly RelayFlow[], ...uids: readonly string[]) {
  const engine = new FakeEngine();
  engine.flowing.push(...flows);
  engine.inUse = { ...engine.inUse, connections: flows.length };
  const relay = await RelayProcess.start({ ...yard.options(engine), paths });
  yard.relays.push({ relay, engine, command: { program: '', args: [], log: '' } });
  const link = await RelayLink.open({ socket: paths.socket, clock: systemClock, log });
  if (!link) throw new Error('no relay listens');
  const forwards = uids.map((uid, i) => relayed({ uid, address: '127.0.0.1', port: 80 + i, targets: [target('10.0.0.10', 80)] }));
  await setForwards(link, forwards);
  return { engine, relay, link };
}

/** From now on it accepts nothing and its flows go on. */
async function drain({ relay, link }: Awaited<ReturnType<typeof running>>): Promise<void> {
  void relay.terminate();
  expect(await link.closed).toBe('signal');
}

const flow = (uid: string, words: Partial<RelayFlow> = {}): RelayFlow => ({
  uid,
  transport: 'tcp',
  client: '192.0.2.7:40000',
  listener: '192.0.2.1:443',
  source: '10.0.0.1:50000',
  target: '10.0.0.10:8443',
  age: 200_000,
  idle: 3_000,
  bytesToTarget: 1_234,
  bytesToClient: 98_765,
  ...words,
});

/** An agent that knows forwards by these names: `NAME UID`. */
async function agentWith(...known: readonly string[]): Promise<void> {
  const forwards = known.map((words): StatusForward => {
    const [name = '', uid = ''] = words.split(' ');
    return {
      ...{ name, uid, generation: 1, state: 'ACTIVE', driver: 'nftables', targets: [] },
      ...{ clientAddress: '', conditions: [], violations: [] },
    };
  });
  agent = new StatusServer({
    socket: dir.socket,
    ownDirectory: false,
    gid: undefined,
    report: () => ({ forwards }) as unknown as StatusReport,
    credentials: () => ({ pid: 1, uid: 0, gids: [] }),
    log,
  });
  await agent.start();
}

/** As the program runs it. */
async function flows(...args: readonly string[]) {
  const data: string[] = [];
  const talk: string[] = [];
  const output = { data: (text: string) => data.push(text), talk: (line: string) => talk.push(line) };
  let code = 0;
  try {
    await flowsCommand(output).parseAsync(['node', 'flows', ...args, '--state-dir', path]);
  } catch (error) {
    const failure = AppError.from(error);
    code = exitCodeOf(failure);
    talk.push(`${failure.reason}: ${failure.message}`);
  }
  return { code, data: data.join('\n'), talk: talk.join('\n') };
}

const json = async (...args: readonly string[]) => JSON.parse((await flows('-o', 'json', ...args)).data) as FlowsReport;

describe('gwctl-agent flows', () => {
  it('shows each flow by the name of its forward, and what was refused of each', async () => {
    const { engine } = await running([flow('u1'), flow('u1', { transport: 'udp', age: 900_000 }), flow('u2')], 'u1', 'u2');
    engine.counted.set('u1', { open: 2, flows: 40, refused: 3, limited: 5, failed: 7 });
    await agentWith('web u1', 'api u2');
    const { code, data, talk } = await flows();
    expect({ code, talk }).toEqual({ code: 0, talk: '' });
    expect(data.split('\n')).toEqual([
      `relay ${process.pid}, portable engine, listens`,
      '',
      'FORWARD  PROTO  CLIENT           LISTENER       SOURCE          TARGET          AGE     IDLE  TO TARGET  TO CLIENT',
      'api      tcp    192.0.2.7:40000  192.0.2.1:443  10.0.0.1:50000  10.0.0.10:8443  3 min   3 s   1234 B     98765 B',
      'web      udp    192.0.2.7:40000  192.0.2.1:443  10.0.0.1:50000  10.0.0.10:8443  15 min  3 s   1234 B     98765 B',
      'web      tcp    192.0.2.7:40000  192.0.2.1:443  10.0.0.1:50000  10.0.0.10:8443  3 min   3 s   1234 B     98765 B',
      '',
      'FORWARD  OPEN  FLOWS  REFUSED  LIMITED  FAILED',
      'api      0     1      2        0        0',
      'web      2     40     3        5        7',
    ]);
  });

  it('shows one forward, by its name or its uid', async () => {
    await running([flow('u1'), flow('u2')], 'u1', 'u2');
    await agentWith('web u1', 'api u2');
    for (const word of ['web', 'u1']) {
      const report = await json(word);
      expect(report.flows).toMatchObject([{ name: 'web', uid: 'u1', relay: process.pid, ageMs: 200_000, idleMs: 3_000 }]);
      expect(report.forwards).toEqual([{ name: 'web', uid: 'u1', open: 0, flows: 1, refused: 2, limited: 0, failed: 0 }]);
    }
  });

  it('takes the uid where no agent answers, and says so', async () => {
    await running([flow('u1'), flow('u2')], 'u1', 'u2');
    const { code, data, talk } = await flows('u1');
    expect(code).toBe(0);
    expect(data).toMatch(/^u1 +tcp/m);
    expect(data).not.toContain('u2');
    expect(talk).toContain('forwards have their uid instead of their name: no agent runs here');
  });

  it('says that there are more', async () => {
    await running([flow('u1'), flow('u1'), flow('u1')], 'u1');
    expect(await json('--most', '2')).toMatchObject({ more: true, flows: [{ uid: 'u1' }, { uid: 'u1' }] });
    expect((await flows('--most', '2')).data).toContain('and more: these are 2 of them');
    expect((await json('--most', '3')).more).toBe(false);
  });

  it('asks a relay that only drains too, and adds up what both counted', async () => {
    const old = await running([flow('u1', { client: '192.0.2.8:1' })], 'u1');
    old.engine.counted.set('u1', { open: 1, flows: 10, refused: 1, limited: 2, failed: 3 });
    await drain(old);
    expect(await json()).toMatchObject({ relays: [{ draining: true }], flows: [{ client: '192.0.2.8:1' }] });
    const now = await running([flow('u1', { client: '192.0.2.9:1' })], 'u1');
    now.engine.counted.set('u1', { open: 1, flows: 20, refused: 4, limited: 5, failed: 6 });
    const report = await json();
    expect(report.relays.map((r) => r.draining)).toEqual([false, true]);
    expect(report.flows.map((f) => f.client)).toEqual(['192.0.2.9:1', '192.0.2.8:1']);
    expect(report.forwards).toEqual([{ uid: 'u1', open: 2, flows: 30, refused: 5, limited: 7, failed: 9 }]);
    const { data } = await flows();
    expect(data).toContain('accepts nothing new and ends with its last connection');
    expect(data).toMatch(/TO CLIENT +RELAY$/m);
  });

  it('shows the rest where one that drains does not answer as it must', async () => {
    const odd = createServer((socket) => {
      const hello = { protocol: 1, build: 'x', engine: 'native', why: 'w', pid: 4, started: 1, draining: true };
      socket.once('data', () => {
        socket.on('data', () => socket.destroy());
        socket.write(`${JSON.stringify({ id: 1, ok: hello })}\n`);
      });
    });
    await new Promise<void>((listening) => odd.listen(paths.draining(4), listening));
    await running([flow('u1')], 'u1');
    const { code, data, talk } = await flows();
    odd.close();
    expect(code).toBe(0);
    expect(data).toMatch(/^u1 +tcp/m);
    expect(talk).toContain('what the relay with pid 4 still carries is not shown: the relay ended before it answered');
  });

  it('shows the rest where one that drains hangs', async () => {
    let asks = 0;
    const mute = createServer((socket) => socket.on('error', () => undefined).once('data', () => asks++));
    await new Promise<void>((listening) => mute.listen(paths.draining(4), listening));
    await running([flow('u1')], 'u1');
    const fake = new FakeClock();
    const talk: string[] = [];
    const asked = flowsReport({ paths, agent: dir.socket, uid: 0, clock: fake, most: 1, talk: (line) => talk.push(line) });
    await until(() => asks === 1, 'it was asked');
    await fake.advance(5_000);
    expect((await asked).flows).toHaveLength(1);
    mute.close();
    expect(talk.join()).toMatch(/what flows through the relay at .*relay-4\.sock is not shown: .* did not answer within 5 s/);
  });

  it('says that no relay runs, and touches nothing', async () => {
    const none = await flows();
    expect(none).toMatchObject({ code: 1, data: '', talk: expect.stringContaining('RELAY_NOT_RUNNING: no relay runs here') });
    expect(none.talk).toContain('conntrack -L --dst-nat');
    expect(await readdir(dir.run)).toEqual([]);
  });

  it('tells a forward that nobody knows from one that the kernel carries', async () => {
    await running([flow('u1')], 'u1');
    await agentWith('web u1', 'kernels u9');
    expect(await flows('nosuch')).toMatchObject({
      code: 3,
      talk: expect.stringContaining('neither the agent nor the relay knows a forward "nosuch"'),
    });
    expect(await flows('kernels')).toMatchObject({
      code: 1,
      talk: expect.stringContaining('the relay has nothing of forward kernels (state ACTIVE, driver nftables)'),
    });
  });

  it('says who may ask to somebody who may not, on whom the relay would hang up', async () => {
    await running([flow('u1')], 'u1');
    const uid = 1 + (process.getuid?.() ?? 0);
    const asked = flowsReport({ paths, agent: dir.socket, uid, clock, most: 1, talk: () => undefined });
    await expect(asked).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      reason: 'RELAY_DENIED',
      message: expect.stringContaining('you may not ask the relay at'),
    });
  });
});
