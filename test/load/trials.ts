/**
 * What a relay must stand: each trial starts a relay of its own with some forwards, presses on them, and looks at what
 * that does to the control socket, to memory, and to a client of the other.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Lab } from '../lab/index.js';
import { atMostDescriptors, manyDescriptors } from './descriptors.js';
import { Load, Target } from './load.js';
import { type RelayForward, RelayProcess, type RelayUse } from './relay-process.js';
import { CLIENTS, GATEWAY, type SiteHost, TARGET } from './site.js';
import { descriptorLimit, memoryMiB } from './usage.js';

const [PRESSED, ALSO_PRESSED, POURED, OTHER] = [12_001, 12_002, 14_001, 12_003];

/** What held true while the pressure lasted. */
export interface Stood {
  /** Milliseconds that the slowest answer of the control socket took. */
  readonly controlMs: number;
  /** 99th percentile of a round trip on an open connection of the other forward, as a multiple of what it was before. */
  readonly otherP99: number;
  /** The same in microseconds. */
  readonly otherP99Us: number;
  /** MiB more than before: what the process itself has. */
  readonly memoryMiB: number;
}

export interface TrialOptions {
  readonly lab: Lab<SiteHost>;
  readonly engine: 'native' | 'portable';
  /** Milliseconds that the other forward's client is measured for, before and during. */
  readonly measureMs: number;
}

/** Names their directories. */
let trials = 0;

/** The relay under trial, and everything around it. */
class Trial {
  #before = { p99: Number.NaN, memory: Number.NaN };

  private constructor(
    readonly options: TrialOptions,
    readonly relay: RelayProcess,
    /** Does the pressing. */
    readonly load: Load,
    /** The client of the other forward, a process of its own. */
    readonly other: Load,
  ) {}

  static async run<T>(
    options: TrialOptions & { readonly pressed?: Partial<RelayForward>; readonly descriptors?: number },
    press: (trial: Trial) => Promise<T>,
  ): Promise<T> {
    trials++;
    const { lab, engine, descriptors } = options;
    const relay = await RelayProcess.start(lab.host('gw1'), lab, {
      name: `relay-${trials}`,
      engine,
      wrapped: descriptors === undefined ? manyDescriptors : atMostDescriptors(descriptors),
    });
    const to = { listen: GATEWAY, target: TARGET };
    await relay.set([
      { uid: 'pressed', ...to, port: PRESSED, ...options.pressed },
      { uid: 'also-pressed', ...to, port: ALSO_PRESSED },
      { uid: 'poured', ...to, port: POURED },
      { uid: 'other', ...to, port: OTHER },
    ]);
    // Each of the two forwards has a target process of its own: it is the relay that one might disturb the other in.
    const targets = await Promise.all([
      Target.start(lab.host('target'), { echo: [PRESSED, ALSO_PRESSED], pour: [POURED] }),
      Target.start(lab.host('target'), { echo: [OTHER] }),
    ]);
    const [load, other] = [await Load.start(lab.host('client')), await Load.start(lab.host('client'))];
    const trial = new Trial(options, relay, load, other);
    try {
      await trial.#settle();
      return await press(trial);
    } finally {
      await Promise.all([load, other, relay, ...targets].map((one) => one.stop()));
    }
  }

  /** Looks at everything while the pressure lasts. */
  async stood(): Promise<Stood> {
    let over = false;
    const control = this.#slowestAnswer(() => over);
    const p99 = await this.#p99().finally(() => {
      over = true;
    });
    return {
      controlMs: await control,
      otherP99: p99 / this.#before.p99,
      otherP99Us: p99,
      memoryMiB: memoryMiB(this.relay.pid) - this.#before.memory,
    };
  }

  /** Resolves once nothing more of a forward moves: all that can be full is full. */
  async quiet(uid: string): Promise<void> {
    const moved = async () => (await this.relay.counts()).find((c) => c.uid === uid)?.bytes;
    const patience = performance.now() + 30_000;
    for (let [before, now] = [-1 as number | undefined, await moved()]; before !== now; [before, now] = [now, await moved()]) {
      if (performance.now() > patience) throw new Error(`${uid} still moves data to clients that do not read`);
      await pause(500);
    }
  }

  async #settle(): Promise<void> {
    // Code is compiled and pools are filled before anything is compared.
    await this.load.run({ op: 'short', to: GATEWAY, port: PRESSED, concurrency: 16, ms: 500 });
    await this.#p99();
    this.#before = { p99: await this.#p99(), memory: memoryMiB(this.relay.pid) };
  }

  /** Median of three, in microseconds. */
  async #p99(): Promise<number> {
    const values: number[] = [];
    for (let i = 0; i < 3; i++) {
      const ms = this.options.measureMs / 3;
      const { p99 = Number.NaN } = await this.other.run({ op: 'latency', to: GATEWAY, port: OTHER, ms, kept: true });
      values.push(p99);
    }
    return values.sort((a, b) => a - b)[1] ?? Number.NaN;
  }

  async #slowestAnswer(over: () => boolean): Promise<number> {
    let slowest = 0;
    while (!over()) {
      const began = performance.now();
      await this.relay.use();
      slowest = Math.max(slowest, performance.now() - began);
      await pause(50);
    }
    return slowest;
  }
}

/** Connections at a time that the limit of descriptors leaves room for: two each, and some for everything else. */
const roomFor = (wanted: number, limit: number): number => Math.min(wanted, Math.floor((limit - 500) / 2));

/**
 * So many connections at a time, half of them on each of two forwards since none may take all; each had an answer, and some go on to
 * have one.
 */
export function concurrent(
  options: TrialOptions,
  wanted: number,
): Promise<Stood & { readonly open: number; readonly asked: number }> {
  return Trial.run(options, async (trial) => {
    const asked = roomFor(wanted, descriptorLimit(trial.relay.pid));
    const hold = { op: 'hold', from: CLIENTS, to: GATEWAY, echo: true, ms: 30_000 } as const;
    const half = Math.floor(asked / 2);
    const more = await Load.start(options.lab.host('client'));
    const first = await trial.load.run({ ...hold, port: PRESSED, count: half });
    const second = await more.run({ ...hold, port: ALSO_PRESSED, count: asked - half });
    const exchanging = trial.load.run({ op: 'exchange', concurrency: 1, ms: options.measureMs });
    const stood = await trial.stood();
    await exchanging;
    await more.stop();
    return { ...stood, open: (first.count ?? 0) + (second.count ?? 0), asked };
  });
}

/** Clients that come last of all when there are too few descriptors. */
export const LATE = 50;

/**
 * More clients than descriptors: those that there is room for are served, the others wait or are refused. Then all but the last
 * {@link LATE} go, and who has waited has room.
 */
export function fewDescriptors(
  options: TrialOptions,
  limit: number,
  clients: number,
): Promise<
  Stood & {
    readonly served: number;
    readonly refused: number;
    readonly servedLater: number;
    readonly othersFailed: number;
    readonly others: number;
    readonly use: RelayUse;
  }
> {
  return Trial.run({ ...options, descriptors: limit }, async (trial) => {
    const waiting = await Load.start(options.lab.host('client'));
    const hold = { op: 'hold', from: CLIENTS, to: GATEWAY, port: PRESSED, echo: true } as const;
    const first = await trial.load.run({ ...hold, count: clients - LATE, ms: 1500 });
    const second = await waiting.run({ ...hold, count: LATE, ms: 500 });
    const stood = await trial.stood();
    const use = await trial.relay.use();
    // A share of the descriptors is not for one forward alone.
    const others = await trial.load.run({ op: 'short', to: GATEWAY, port: OTHER, concurrency: 4, ms: 500 });
    const served = (first.count ?? 0) + (second.count ?? 0);
    await trial.load.run({ op: 'release' });
    const later = await waiting.run({ op: 'await', ms: 5000 });
    await waiting.stop();
    const refused = (first.failed ?? 0) + (later.failed ?? 0);
    return {
      ...stood,
      served,
      refused,
      servedLater: (later.count ?? 0) - (second.count ?? 0),
      ...{ others: others.count ?? 0, othersFailed: others.failed ?? 0, use },
    };
  });
}

/** Handshakes that nobody ends, at a forward that others go on using. */
export function halfOpen(
  options: TrialOptions,
  count: number,
): Promise<Stood & { readonly shortRate: number; readonly shortFailed: number; readonly queued: number }> {
  const { lab } = options;
  return Trial.run(options, async (trial) => {
    const [, flooder] = CLIENTS;
    const deaf = [
      'table ip deaf {',
      `  chain input { type filter hook input priority 0; ip daddr ${flooder} tcp flags & (syn|ack) == (syn|ack) drop; }`,
      '}',
    ];
    await lab.host('client').exec(['nft', '-f', '-'], { stdin: deaf.join('\n') });
    try {
      const flooding = await Load.start(lab.host('client'));
      const flood = flooding.run({ op: 'halfOpen', from: flooder, to: GATEWAY, port: PRESSED, count });
      const [stood] = await Promise.all([trial.stood(), flood]);
      const queued = halfOpenSockets(lab.host('gw1').readProcNet('tcp'));
      const short = await trial.load.run({ op: 'short', to: GATEWAY, port: PRESSED, concurrency: 16, ms: 500 });
      await flooding.stop();
      return { ...stood, shortRate: ((short.count ?? 0) * 1000) / (short.ms ?? 1), shortFailed: short.failed ?? 0, queued };
    } finally {
      await lab.host('client').exec(['nft', 'delete', 'table', 'ip', 'deaf']);
    }
  });
}

/** In state SYN_RECV. */
const halfOpenSockets = (text: string): number => text.split('\n').filter((line) => /^\s*\d+: \S+ \S+ 03 /.test(line)).length;

/** Clients that connect and are never heard of again; the forward ends what is idle for `idleMs`. */
export function vanished(
  options: TrialOptions,
  count: number,
  idleMs: number,
): Promise<Stood & { readonly accepted: number; readonly goneMs: number }> {
  const { lab } = options;
  return Trial.run({ ...options, pressed: { tcpIdleTimeout: idleMs } }, async (trial) => {
    const [, vanishing] = CLIENTS;
    const crowd = await Load.start(lab.host('client'));
    const hold = { op: 'hold', from: [vanishing], to: GATEWAY, port: PRESSED, echo: false } as const;
    const { count: accepted = 0 } = await crowd.run({
      ...hold,
      count: roomFor(count, 2 * descriptorLimit(trial.relay.pid)),
      ms: 10_000,
    });
    const cut = `table ip cut { chain output { type filter hook output priority 0; ip saddr ${vanishing} drop; }; }`;
    await lab.host('client').exec(['nft', '-f', '-'], { stdin: cut });
    try {
      await crowd.stop();
      const began = performance.now();
      const stood = await trial.stood();
      while ((await trial.relay.use()).connections > 1) await pause(100);
      return { ...stood, accepted, goneMs: performance.now() - began };
    } finally {
      await lab.host('client').exec(['nft', 'delete', 'table', 'ip', 'cut']);
    }
  });
}

/** Clients that are sent to without end and never read. */
export function neverRead(
  options: TrialOptions,
  count: number,
): Promise<Stood & { readonly open: number; readonly use: RelayUse }> {
  return Trial.run(options, async (trial) => {
    const hold = { op: 'hold', from: CLIENTS, to: GATEWAY, port: POURED, count, echo: false, ms: 10_000 } as const;
    const { count: open = 0 } = await trial.load.run(hold);
    await trial.quiet('poured');
    const stood = await trial.stood();
    return { ...stood, open, use: await trial.relay.use() };
  });
}
