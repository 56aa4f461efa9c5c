import type { Engine, EngineOptions, EngineUse, ForwardCounts, ListenFailure, ListeningSocket, RelayFlow } from '../engine.js';
import type { RelayedForward } from '../types.js';
import { Carried } from './carried.js';
import { now } from './clock.js';
import { Descriptors } from './descriptors.js';
import { carryAll, type Listener, Listeners } from './listeners.js';
import { type OwnAddress, ownAddresses, placeKey, placesOf } from './places.js';
import { Sweep } from './sweep.js';
import { UdpListener } from './udp-listener.js';

/** Milliseconds between two looks at which addresses the gateway has. */
const RESCAN = 5_000;

/** What the portable engine asks the host; for tests. */
export interface PortableHost {
  readonly ownAddresses?: () => readonly OwnAddress[];
  /** Default: what the kernel allows this process. */
  readonly descriptorLimit?: number;
  /** Milliseconds, default 5,000. */
  readonly rescanEvery?: number;
}

/** Node.js alone, in one thread: for where libc cannot be called. Slower, and the same in all that a client or target can see. */
export async function openPortableEngine(options: EngineOptions, host: PortableHost = {}): Promise<Engine> {
  return new PortableEngine(options, host);
}

interface Entry {
  readonly carried: Carried;
  listeners: ReadonlyMap<string, Listener>;
}

class PortableEngine implements Engine {
  readonly name = 'portable';
  readonly #onChange: (uid: string) => void;
  readonly #own: () => readonly OwnAddress[];
  readonly #descriptors: Descriptors;
  readonly #listeners: Listeners;
  readonly #entries = new Map<string, Entry>();
  /** Removed, with flows that go on to their end. */
  readonly #leaving = new Set<Carried>();
  readonly #sweep = new Sweep(() => this.#look());
  readonly #rescan: NodeJS.Timeout;
  /** Changes are made one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #draining = false;
  readonly #drained: (() => void)[] = [];

  constructor(options: EngineOptions, host: PortableHost) {
    this.#onChange = options.onChange ?? (() => {});
    this.#own = host.ownAddresses ?? ownAddresses;
    this.#descriptors = new Descriptors({
      ...(host.descriptorLimit === undefined ? {} : { limit: host.descriptorLimit }),
      ...(options.reserve === undefined ? {} : { reserve: options.reserve }),
    });
    this.#listeners = new Listeners({ descriptors: this.#descriptors, inherited: options.inherited });
    this.#rescan = setInterval(() => void this.#inTurn(() => this.#followAddresses()), host.rescanEvery ?? RESCAN);
    this.#rescan.unref();
  }

  set(forward: RelayedForward): Promise<ListenFailure | undefined> {
    return this.#inTurn(() => this.#set(forward));
  }

  remove(uid: string): Promise<void> {
    return this.#inTurn(async () => {
      const entry = this.#entries.get(uid);
      if (!entry) return;
      this.#entries.delete(uid);
      const { carried } = entry;
      this.#leaving.add(carried);
      const cut = carried.forward.onChange === 'cut';
      const udp = [...entry.listeners.values()].filter((l) => l instanceof UdpListener);
      // What came before it was removed is still its.
      if (!cut) await Promise.all(udp.map((l) => l.readAll()));
      await this.#let([...entry.listeners.values()], cut);
      carried.removed = true;
      if (cut) for (const flow of [...carried.flows]) flow.end();
      this.#ended();
    });
  }

  async counts(): Promise<readonly ForwardCounts[]> {
    return [...this.#entries.values()].map(({ carried }) => carried.counts());
  }

  async flows({ uid, most }: { readonly uid?: string; readonly most: number }): Promise<readonly RelayFlow[]> {
    const found: RelayFlow[] = [];
    const time = now();
    for (const carried of this.#all()) {
      if (uid !== undefined && carried.forward.uid !== uid) continue;
      for (const flow of carried.flows) {
        if (found.length >= most) return found;
        const described = flow.describe(time);
        if (described) found.push(described);
      }
    }
    return found;
  }

  async use(): Promise<EngineUse> {
    let connections = 0;
    let clients = 0;
    for (const { flows } of this.#all())
      for (const flow of flows) {
        if (flow.standing.transport === 'tcp') connections += 1;
        else clients += 1;
      }
    const { limit: descriptorLimit, paused } = this.#descriptors;
    return { connections, clients, pipes: 0, descriptors: this.#descriptors.used(), descriptorLimit, paused };
  }

  async listening(): Promise<readonly ListeningSocket[]> {
    return [...this.#entries.values()].flatMap(({ listeners }) => [...listeners.values()].flatMap(socketOf));
  }

  async drain(): Promise<void> {
    await this.#inTurn(async () => {
      this.#draining = true;
      clearInterval(this.#rescan);
      this.#listeners.lookIdle(true);
      for (const entry of this.#entries.values()) {
        const listeners = [...entry.listeners.values()];
        entry.listeners = new Map();
        await this.#let(listeners, false, true);
      }
    });
    await new Promise<void>((resolve) => {
      this.#drained.push(resolve);
      this.#ended();
    });
  }

  async stop(): Promise<void> {
    await this.#inTurn(async () => {
      this.#draining = true;
      clearInterval(this.#rescan);
      this.#listeners.lookIdle(true);
      for (const { carried, listeners } of this.#entries.values()) {
        await this.#let([...listeners.values()], true);
        this.#leaving.add(carried);
      }
      this.#entries.clear();
      for (const carried of [...this.#leaving]) for (const flow of [...carried.flows]) flow.end();
      await this.#listeners.stop();
      this.#sweep.stop();
      this.#ended();
    });
  }

  async #set(forward: RelayedForward): Promise<ListenFailure | undefined> {
    const { uid } = forward;
    if (this.#draining) return { reason: 'LISTEN_FAILED', message: 'this relay is being replaced and opens nothing new' };
    const entry = this.#entries.get(uid);
    const listeners = await this.#listen(forward, entry);
    if ('reason' in listeners) return listeners;
    const carried = entry?.carried ?? this.#carriedAgain(uid) ?? this.#begin(forward);
    carried.change(forward);
    this.#leaving.delete(carried);
    carryAll(listeners.values(), carried);
    this.#entries.set(uid, { carried, listeners });
    this.#sweepAsNeeded();
    const gone = [...(entry?.listeners ?? [])].flatMap(([key, listener]) => (listeners.has(key) ? [] : [listener]));
    await this.#let(gone, forward.onChange === 'cut');
    return undefined;
  }

  /** The listeners that a forward is to have, those that it has already among them. */
  async #listen(forward: RelayedForward, entry: Entry | undefined): Promise<ReadonlyMap<string, Listener> | ListenFailure> {
    const wanted = placesOf(forward, this.#own());
    const had = entry?.listeners ?? new Map<string, Listener>();
    const opened = await this.#listeners.open(
      wanted.filter((place) => !had.has(placeKey(place))),
      () => this.#onChange(forward.uid),
    );
    if ('reason' in opened) return opened;
    const all = new Map<string, Listener>();
    for (const key of wanted.map(placeKey)) {
      const listener = had.get(key) ?? opened.get(key);
      if (listener) all.set(key, listener);
    }
    return all;
  }

  #begin(forward: RelayedForward): Carried {
    return new Carried(forward, {
      descriptors: this.#descriptors,
      alone: () => this.#entries.size < 2,
      onHealth: (uid) => this.#onChange(uid),
      onEnd: () => this.#ended(),
    });
  }

  /** One that was removed, with flows that are still there: they are of this forward again. */
  #carriedAgain(uid: string): Carried | undefined {
    return [...this.#leaving].find((carried) => carried.forward.uid === uid);
  }

  /** Closes listeners; of UDP, with clients that are to stay, when these are gone. `shared`: a successor has them too. */
  async #let(listeners: readonly Listener[], cut: boolean, shared = false): Promise<void> {
    const udp = listeners.filter((l) => l instanceof UdpListener);
    const stay = udp.filter((listener) => !cut || listener.lingers);
    const close = listeners.filter((l) => !(l instanceof UdpListener) || !stay.includes(l));
    for (const listener of stay) {
      if (cut) listener.endAll();
      if (shared) listener.leaveReceiving();
      this.#listeners.retire(listener);
    }
    await this.#listeners.close(close);
  }

  async #followAddresses(): Promise<void> {
    this.#listeners.lookIdle();
    for (const entry of this.#entries.values()) {
      const { forward } = entry.carried;
      if (forward.listen.address || !forward.listen.transports.includes('udp')) continue;
      const listeners = await this.#listen(forward, entry);
      if ('reason' in listeners) {
        this.#onChange(forward.uid);
        continue;
      }
      const gone = [...entry.listeners].flatMap(([key, listener]) => (listeners.has(key) ? [] : [listener]));
      entry.listeners = listeners;
      carryAll(listeners.values(), entry.carried);
      await this.#let(gone, true);
    }
  }

  #look(): void {
    const time = now();
    for (const { flows } of this.#all()) for (const flow of flows) flow.sweep(time);
  }

  #sweepAsNeeded(): void {
    const times = [...this.#all()].map(({ forward }) => Math.min(forward.tcpIdleTimeout, forward.udpIdleTimeout));
    this.#sweep.shortest = times.length === 0 ? undefined : Math.min(...times);
  }

  *#all(): Iterable<Carried> {
    for (const { carried } of this.#entries.values()) yield carried;
    yield* this.#leaving;
  }

  /** A flow is over, or a forward has left. */
  #ended(): void {
    for (const carried of this.#leaving) if (carried.removed && carried.flows.size === 0) this.#leaving.delete(carried);
    if (!this.#draining) return;
    for (const { flows } of this.#all()) if (flows.size > 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(run);
    this.#queue = result.catch(() => {});
    return result;
  }
}

function socketOf({ place, fd }: Listener): ListeningSocket[] {
  const { transport, address, port, interface: name } = place;
  return fd === undefined ? [] : [{ transport, address, port, fd, ...(name === undefined ? {} : { interface: name }) }];
}
