import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { AppError } from '@gwctl/shared/errors/app-error';
import { descriptorLimit } from '../../system/native/descriptor-limit.js';
import { loadRelayLibc, type RelayLibc } from '../../system/native/relay-libc.js';
import { addCounts } from '../core/counts.js';
import type { Engine, EngineOptions, EngineUse, ForwardCounts, ListenFailure, ListeningSocket, RelayFlow } from '../engine.js';
import type { RelayedForward } from '../types.js';
import { descriptorMemory, SharedDescriptors } from './descriptors.js';
import { Draining } from './draining-ports.js';
import { Listeners, type Opened, type OpenSocket, sharedOut } from './listeners.js';
import type { FlowQuestion } from './messages.js';
import { countsClients, limitsMemory } from './shared-limits.js';
import type { TargetNews } from './side.js';
import { WorkerThread } from './worker-thread.js';

const MOST_THREADS = 4;
const RESERVE = 64;
/** With fewer descriptors than this there is one socket for each port, not one for each worker. */
const FEW_DESCRIPTORS = 1024;

export interface NativeEngineOptions extends EngineOptions {
  /** A worker has ended: its connections hang, and the process is to be started again. Default: the error is thrown, uncaught. */
  readonly onDeath?: (error: AppError) => void;
  /** Something that should not happen and harmed one connection at most; for the log. */
  readonly onTrouble?: (what: string, error: unknown) => void;
}

interface Carried {
  readonly forward: RelayedForward;
  readonly sockets: readonly OpenSocket[];
  readonly memory: SharedArrayBuffer;
}

/** Throws LIBC_UNAVAILABLE where the C library cannot be called. */
export async function openNativeEngine(options: NativeEngineOptions): Promise<Engine> {
  const libc = loadRelayLibc();
  const engine = new NativeEngine(libc, options);
  await engine.start();
  return engine;
}

class NativeEngine implements Engine {
  readonly name = 'native';
  readonly #libc: RelayLibc;
  readonly #options: NativeEngineOptions;
  readonly #limit: number;
  readonly #memory: SharedArrayBuffer;
  readonly #descriptors: SharedDescriptors;
  readonly #threads: readonly WorkerThread[];
  readonly #listeners: Listeners;
  readonly #draining: Draining;
  readonly #predecessor: number | undefined;
  readonly #forwards = new Map<string, Carried>();
  /** Changes happen one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(libc: RelayLibc, options: NativeEngineOptions) {
    this.#libc = libc;
    this.#options = options;
    this.#limit = descriptorLimit(libc);
    const few = this.#limit < FEW_DESCRIPTORS;
    // It hands over to its child; 1 has taken its place where it is gone already.
    this.#predecessor = options.inherited.length > 0 && process.ppid > 1 ? process.ppid : undefined;
    const threads = options.threads ?? Math.min(availableParallelism(), few ? 2 : MOST_THREADS);
    this.#memory = descriptorMemory(0);
    this.#descriptors = new SharedDescriptors(this.#memory, () => undefined);
    this.#threads = Array.from({ length: threads }, (_, index) => this.#thread(index));
    this.#draining = new Draining({
      ask: () => this.#all((t) => t.ask('draining', {})),
      predecessor: () => (process.ppid === this.#predecessor ? this.#predecessor : undefined),
    });
    this.#listeners = new Listeners({
      libc,
      threads,
      inherited: options.inherited,
      spreads: () => !few && this.#listening() < this.#descriptors.most / 8,
    });
  }

  async start(): Promise<void> {
    try {
      await Promise.all(this.#threads.map((t) => t.start()));
    } catch (error) {
      await this.stop();
      throw error;
    }
    // What is open by now stays open whatever is forwarded; sockets of a predecessor are among it.
    const others = readdirSync('/proc/self/fd').length;
    const reserve = this.#options.reserve ?? RESERVE;
    this.#descriptors.most = Math.max(16, this.#limit - reserve - others);
  }

  set(forward: RelayedForward): Promise<ListenFailure | undefined> {
    return this.#next(() => this.#set(forward));
  }

  remove(uid: string): Promise<void> {
    return this.#next(async () => {
      const carried = this.#forwards.get(uid);
      if (!carried) return;
      this.#forwards.delete(uid);
      const cut = carried.forward.onChange === 'cut';
      await this.#all((t) => t.ask('remove', { uid, cut }));
      this.#close(carried.sockets);
    });
  }

  async counts(): Promise<readonly ForwardCounts[]> {
    const answers = await this.#all((t) => t.ask('counts', {}));
    const counted = Map.groupBy(answers.flat(), (c) => c.uid);
    return [...this.#forwards.values()].map(
      ({ forward }) => addCounts([...(counted.get(forward.uid) ?? [])]) ?? nothing(forward),
    );
  }

  async flows(question: FlowQuestion): Promise<readonly RelayFlow[]> {
    const answers = await this.#all((t) => t.ask('flows', { question }));
    return answers.flat().slice(0, question.most);
  }

  async use(): Promise<EngineUse> {
    const answers = await this.#all((t) => t.ask('use', {}));
    const sum = (of: 'connections' | 'clients' | 'pipes') => answers.reduce((total, one) => total + one[of], 0);
    return {
      connections: sum('connections'),
      clients: sum('clients'),
      pipes: sum('pipes'),
      descriptors: readdirSync('/proc/self/fd').length,
      descriptorLimit: this.#limit,
      paused: this.#descriptors.paused > 0,
    };
  }

  async listening(): Promise<readonly ListeningSocket[]> {
    return [...this.#forwards.values()].flatMap(({ sockets }) =>
      sockets.map(({ worker: _, inherited: __, ...socket }) => socket),
    );
  }

  async drain(): Promise<void> {
    await this.#last.catch(() => undefined);
    const drained = this.#all((t) => t.ask('drain', {}));
    // Orders are carried out one after the other: whoever has answered this accepts nothing more.
    await this.#all((t) => t.ask('use', {}));
    for (const [uid, carried] of this.#forwards) {
      const tcp = carried.sockets.filter((s) => s.transport === 'tcp');
      this.#close(tcp);
      // Those of UDP are what answers go out of, until the last client is silent.
      this.#forwards.set(uid, { ...carried, sockets: carried.sockets.filter((s) => s.transport === 'udp') });
    }
    await drained;
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await Promise.all(this.#threads.map((t) => t.stop()));
    for (const { sockets } of this.#forwards.values()) this.#close(sockets);
    this.#forwards.clear();
  }

  async #set(forward: RelayedForward): Promise<ListenFailure | undefined> {
    const had = this.#forwards.get(forward.uid);
    const opened = await this.#open(forward, had?.sockets ?? []);
    if ('failure' in opened) return opened.failure;
    const { sockets, gone } = opened;
    this.#descriptors.takeAnyway(sockets.length + gone.length - (had?.sockets.length ?? 0));
    const memory = this.#limits(forward, had?.memory);
    this.#forwards.set(forward.uid, { forward, sockets, memory });
    await this.#all((t) => t.ask('set', { forward, sockets: sharedOut(sockets, t.index), memory }));
    this.#draining.gaveUp(gone);
    const waited = this.#listeners.replace(gone, forward);
    this.#descriptors.give(gone.length);
    this.#threads.forEach((thread, i) => {
      const connections = waited.filter((_, n) => n % this.#threads.length === i);
      if (connections.length > 0) thread.adopt(forward.uid, connections);
    });
    return undefined;
  }

  /** Where each client counts from now on, the memory is another; what counts until then is counted again there. */
  #limits({ maxConnections, maxConnectionsPerClient }: RelayedForward, before: SharedArrayBuffer | undefined): SharedArrayBuffer {
    const clients = maxConnectionsPerClient === undefined ? 0 : Math.min(maxConnections ?? this.#limit, this.#limit);
    return before && (clients === 0 || countsClients(before)) ? before : limitsMemory(clients);
  }

  /** What looks taken may be taken by sockets of the relay itself. */
  async #open(forward: RelayedForward, had: readonly OpenSocket[]): Promise<Opened> {
    const held = () => [...this.#forwards.values()].flatMap(({ sockets }) => sockets);
    const draining = await this.#draining.ports(forward, held);
    const opened = this.#listeners.open(forward, had, draining);
    if (!('failure' in opened) || opened.failure.reason !== 'PORT_IN_USE') return opened;
    const left = await this.#draining.predecessors(forward, draining, held);
    return left ? this.#listeners.open(forward, had, left) : opened;
  }

  #close(sockets: readonly OpenSocket[]): void {
    this.#draining.gaveUp(sockets);
    this.#listeners.close(sockets);
    this.#descriptors.give(sockets.length);
  }

  #listening(): number {
    let count = 0;
    for (const { sockets } of this.#forwards.values()) count += sockets.length;
    return count;
  }

  #thread(index: number): WorkerThread {
    return new WorkerThread({
      libc: this.#libc,
      index,
      descriptors: this.#memory,
      predecessor: this.#predecessor,
      events: {
        news: (from, uid, news) => this.#news(from, uid, news),
        strayed: (from, stray) => {
          for (const thread of this.#threads) if (thread !== from) thread.pass(stray);
        },
        trouble: (what, error) => this.#options.onTrouble?.(what, error),
        died: (error) => this.#died(error),
      },
    });
  }

  /** What one worker found out of a target, the others need not find out by failing. */
  #news(from: WorkerThread, uid: string, news: TargetNews): void {
    for (const thread of this.#threads) if (thread !== from) thread.learn(uid, news);
    this.#options.onChange?.(uid);
  }

  #died(error: AppError): void {
    if (this.#stopped) return;
    for (const uid of this.#forwards.keys()) this.#options.onChange?.(uid);
    if (this.#options.onDeath) this.#options.onDeath(error);
    else
      queueMicrotask(() => {
        throw error;
      });
  }

  #all<T>(ask: (thread: WorkerThread) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#threads.map(ask));
  }

  #next<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#last.then(change, change);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

function nothing({ uid, targets }: RelayedForward): ForwardCounts {
  const none = { bytes: 0, datagrams: 0, flows: 0, refused: 0, limited: 0, failed: 0, open: 0 };
  return { uid, ...none, targets: targets.map((t) => ({ address: t.address.text, port: t.port, open: 0, health: 'unknown' })) };
}
