/** Relays in this very process, over real unix sockets: for specs of both sides. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@gwctl/shared/logging/logger';
import type { Clock } from '../clock.js';
import type { DetachedCommand, DetachedProcess } from '../system/detached-process.js';
import { FakeEngine } from './engine.fake.js';
import { RelayProcess, type RelayProcessOptions } from './process/relay-process.js';
import { type RelayPaths, relayPaths } from './relay-paths.js';

const log = createLogger({ name: 'spec', level: 'silent' });

/** A directory for the sockets of one spec, and the relays that were started in it. */
export class RelayYard {
  readonly relays: { readonly relay: RelayProcess; readonly engine: FakeEngine; readonly command: DetachedCommand }[] = [];
  /** Of the program on the disk: what a relay that is started now says of itself. */
  build = 'one';
  /** Why a program that is started ends at once. */
  failure: string | undefined;

  private constructor(
    readonly dir: string,
    readonly paths: RelayPaths,
    readonly clock: Clock,
  ) {}

  static async make(clock: Clock): Promise<RelayYard> {
    const dir = await mkdtemp(join(tmpdir(), 'gwctl-relay-'));
    return new RelayYard(dir, relayPaths({ path: dir, run: dir }), clock);
  }

  async clear(): Promise<void> {
    for (const { relay } of this.relays) {
      await relay.terminate();
      await relay.terminate();
      await relay.ended;
    }
    await rm(this.dir, { recursive: true, force: true });
  }

  options(engine: FakeEngine, channel?: Socket): RelayProcessOptions {
    return {
      paths: this.paths,
      gid: undefined,
      engine: 'auto',
      engines: { native: engine.open, portable: engine.open },
      credentials: undefined,
      start: this.start,
      build: Promise.resolve(this.build),
      channel,
      clock: this.clock,
      log,
    };
  }

  /** Instead of a process: a relay in this one, with a channel that is real. */
  start = async (command: DetachedCommand): Promise<DetachedProcess> => {
    const [ours, theirs] = await socketPair(this.dir);
    if (this.failure !== undefined) {
      theirs.destroy();
      return { pid: 1, channel: ours, ended: Promise.resolve(this.failure), kill: () => undefined };
    }
    const engine = new FakeEngine();
    RelayProcess.start(this.options(engine, theirs)).then(
      (relay) => this.relays.push({ relay, engine, command }),
      () => undefined,
    );
    return { pid: process.pid, channel: ours, ended: new Promise(() => undefined), kill: () => undefined };
  };
}

/** Both ends of a unix socket. */
async function socketPair(dir: string): Promise<readonly [Socket, Socket]> {
  const path = join(dir, `pair-${randomUUID().slice(0, 8)}`);
  const server = createServer();
  await new Promise<void>((listening) => server.listen(path, listening));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const one = connect(path);
  const other = await accepted;
  server.close();
  return [one, other];
}
