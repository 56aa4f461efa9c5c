import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { Engine, EngineOptions, ForwardCounts, ListenFailure } from '../engine.js';
import { type RelayedWords, relayed, target } from '../testing.js';
import type { RelayedForward, RelayTarget } from '../types.js';
import { DatagramPeer } from './datagram-peers.js';
import { Peer, Service } from './peers.js';
import { eventually, Waiting } from './waiting.js';

export interface EngineUnderTest {
  readonly open: (options: EngineOptions) => Promise<Engine>;
  /** A UDP listener for every address takes what comes to addresses that no interface names, such as 127.0.0.2. */
  readonly unnamedAddresses: boolean;
  /** A listener can be tied to an interface. */
  readonly interfaces: boolean;
}

/** What belongs to the test that runs; all of it is taken away afterwards. */
export class Stage {
  readonly engine: Engine;
  readonly #onChange: Waiting;
  readonly #changed: string[];
  readonly #closers: (() => void)[] = [];
  readonly #uids = new Set<string>();
  static #count = 0;
  readonly uid = `f${++Stage.#count}`;

  constructor(engine: Engine, changes: { readonly waiting: Waiting; readonly uids: string[] }) {
    this.engine = engine;
    this.#onChange = changes.waiting;
    this.#changed = changes.uids;
  }

  /** Of the stage's uid, on 127.0.0.1 unless it says something else. */
  forward(words: RelayedWords): RelayedForward {
    return relayed({ uid: this.uid, address: '127.0.0.1', ...words });
  }

  /** Carries a forward that must be carried. */
  async carry(words: RelayedWords): Promise<void> {
    expect(await this.set(words)).toBeUndefined();
  }

  /** Carries a forward to a service that it starts. */
  async carried(words: Partial<RelayedWords> = {}): Promise<{ readonly service: Service; readonly port: number }> {
    const [service, port] = [await this.service(), await freePorts()];
    await this.carry({ port, targets: [to(service)], ...words });
    return { service, port };
  }

  set(words: RelayedWords): Promise<ListenFailure | undefined> {
    const forward = this.forward(words);
    this.#uids.add(forward.uid);
    return this.engine.set(forward);
  }

  async service(address?: string, port?: number): Promise<Service> {
    const service = await Service.start(address, port);
    this.later(() => service.close());
    return service;
  }

  async datagrams(address?: string, port?: number): Promise<DatagramPeer> {
    const peer = await DatagramPeer.open(address, port);
    this.later(() => peer.close());
    return peer;
  }

  connect(port: number, options: { readonly to?: string; readonly from?: string } = {}): Peer {
    const peer = Peer.connect(options.to ?? '127.0.0.1', port, options.from);
    this.later(() => peer.socket.destroy());
    return peer;
  }

  async counts(uid = this.uid): Promise<ForwardCounts> {
    const found = (await this.engine.counts()).find((c) => c.uid === uid);
    if (!found) throw new Error(`no counts of ${uid}`);
    return found;
  }

  /** Until the counts say so. */
  until(what: string, ask: (counts: ForwardCounts) => boolean): Promise<ForwardCounts> {
    return eventually(what, async () => {
      const counts = await this.counts();
      return ask(counts) ? counts : undefined;
    });
  }

  /** Until the engine has said that something about the forward changed. */
  async changed(): Promise<void> {
    await this.#onChange.until(() => this.#changed.includes(this.uid) || undefined);
  }

  later(close: () => void): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) close();
    for (const uid of this.#uids) await this.engine.remove(uid);
  }
}

/** One engine for the tests of a group, and a stage for each of them. No flow may be left of any test. */
export function useStage(under: EngineUnderTest): () => Stage {
  const changes = { waiting: new Waiting(), uids: [] as string[] };
  let engine: Engine | undefined;
  let stage: Stage | undefined;
  beforeAll(async () => {
    engine = await under.open({
      inherited: [],
      onChange: (uid) => {
        changes.uids.push(uid);
        changes.waiting.happened();
      },
    });
  });
  afterEach(async () => {
    await stage?.close();
    stage = undefined;
    await eventually('every flow is gone', async () => {
      const use = await engine?.use();
      return use?.connections === 0;
    });
  });
  afterAll(() => engine?.stop());
  return () => {
    if (!engine) throw new Error('there is no engine outside of a test');
    stage ??= new Stage(engine, changes);
    return stage;
  };
}

export const to = ({ address, port }: { readonly address: string; readonly port: number }, weight = 1): RelayTarget =>
  target(address, port, weight);

/** The first of `count` ports in a row that nobody has, below those that the kernel gives to outgoing connections. */
export async function freePorts(count = 1): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const first = 10_000 + Math.floor(Math.random() * 20_000);
    const all = await Promise.all(Array.from({ length: count }, (_, i) => isFree(first + i)));
    if (all.every(Boolean)) return first;
  }
  throw new Error(`no ${count} ports in a row are free`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const tcp = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ host: '::', port }, () => server.close(() => resolve(true)));
  });
  const socket = createSocket('udp6');
  const udp = await new Promise<boolean>((resolve) => {
    socket.once('error', () => resolve(false));
    socket.bind(port, '::', () => resolve(true));
  });
  socket.close();
  return tcp && udp;
}
