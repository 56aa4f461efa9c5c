import type { Socket } from 'node:net';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock, Timer } from '../../clock.js';
import type { StartDetached } from '../../system/detached-process.js';
import type { PeerCredentials } from '../../system/peer-credentials.js';
import type { Engine, EngineUse } from '../engine.js';
import { type EndingReason, type Hello, PROTOCOL, type Request } from '../protocol.js';
import type { RelayPaths } from '../relay-paths.js';
import { Carried } from './carried.js';
import { type Answer, ControlServer } from './control-server.js';
import { Inherited, type Legacy, NOTHING, nextLine, readLegacy, startedLine } from './inheritance.js';
import { type EnginePreference, type Engines, openEngine } from './open-engine.js';
import { requireNone } from './running-relay.js';
import { handOver } from './successor.js';

/** Milliseconds. */
const USE_EVERY = 1_000;
const CHANGES_GATHER = 20;
/** A relay that carries nothing and that nothing flows through ends after this time; an agent starts one when it needs one. */
const IDLE = 60_000;

export interface RelayProcessOptions {
  readonly paths: RelayPaths;
  readonly gid: number | undefined;
  readonly engine: EnginePreference;
  readonly engines: Engines;
  /** Undefined where the kernel cannot be asked who is at the other end of a socket. */
  readonly credentials: ((socket: Socket) => PeerCredentials) | undefined;
  readonly start: StartDetached;
  /** Names the program (see build-id.ts). Not awaited before it listens. */
  readonly build: Promise<string>;
  /** To whoever started it and has something to hand over; undefined where a person did. */
  readonly channel: Socket | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The process that carries relayed forwards. It goes on whatever becomes of the agent, and ends when it is told to, when its last flow
 * ended after it gave up its listeners, or when it has long had nothing to do.
 */
export class RelayProcess {
  /** Resolves once everything is over. */
  readonly ended: Promise<void>;
  readonly #options: RelayProcessOptions;
  readonly #started: number;
  #engine!: Engine;
  #why = '';
  #carried!: Carried;
  #server!: ControlServer;
  #draining = false;
  /** A signal asked for the end. */
  #signalled = false;
  /** A successor is being started. */
  #upgrading = false;
  #retiring = false;
  /** The control socket on its way to another name. */
  #moving: Promise<void> | undefined;
  /** Listeners and control socket are another's, or nobody's. */
  #letGo = false;
  #ending = false;
  #over!: () => void;
  #pushed: EngineUse | undefined;
  #changed = new Set<string>();
  #timers = new Map<'use' | 'changed', Timer>();
  #idleSince: number;

  private constructor(options: RelayProcessOptions) {
    this.#options = options;
    this.#started = options.clock.now();
    this.#idleSince = options.clock.monotonic();
    this.ended = new Promise((resolve) => {
      this.#over = resolve;
    });
  }

  /** Listens, with all that was handed over, once it resolves. What keeps it from that is told to whoever started it, too. */
  static async start(options: RelayProcessOptions): Promise<RelayProcess> {
    const { channel } = options;
    // Whoever started it may be gone: that is no reason to end.
    channel?.on('error', (error) => options.log.debug({ err: error }, 'whoever started this relay is gone'));
    try {
      const relay = new RelayProcess(options);
      await relay.#begin(channel ? readLegacy(await nextLine(channel)) : NOTHING);
      channel?.end(startedLine({ ready: true }));
      return relay;
    } catch (error) {
      const { reason, message } = AppError.from(error);
      await new Promise<void>((said) => {
        if (channel?.writable) channel.end(startedLine({ ready: false, reason, message }), said);
        else said();
      });
      throw error;
    }
  }

  /** The first ends listening and lets what flows go on to its end, the second ends that too. */
  async terminate(): Promise<void> {
    if (this.#draining || this.#signalled) return this.#end();
    this.#signalled = true;
    this.#options.log.info('asked to end: nothing new is accepted, what flows goes on to its end');
    // A successor that is on its way takes over first: to let go now would leave nobody who accepts, and nobody who is found.
    if (!this.#upgrading) await this.#retire('signal');
  }

  async #begin(legacy: Legacy): Promise<void> {
    const { paths, engine, engines, log } = this.#options;
    if (!legacy.succeeds) await requireNone(paths.socket);
    const inherited = new Inherited(legacy.sockets);
    const onChange = (uid: string) => this.#noteChanged(uid);
    const opened = await openEngine(engines, engine, { inherited: legacy.sockets, onChange });
    this.#engine = opened.engine;
    this.#why = opened.why;
    this.#carried = new Carried(opened.engine);
    const failures = await this.#carried.set(legacy.forwards);
    for (const failure of failures) log.error(failure, 'a forward could not be taken over; the agent tries it again');
    const unused = inherited.closeUnused(await opened.engine.listening());
    this.#server = this.#control(paths.socket);
    await this.#server.start();
    this.#tick();
    log.info({ engine: opened.engine.name, why: opened.why, forwards: this.#carried.size, unused }, 'the relay listens');
  }

  #control(socket: string): ControlServer {
    const { gid, credentials, log } = this.#options;
    return new ControlServer({ socket, gid, credentials, log, answer: (request) => this.#answer(request) });
  }

  async #answer(request: Request): Promise<Answer> {
    switch (request.op) {
      case 'hello':
        return { value: await this.#hello() };
      case 'set':
        return { rows: await this.#carried.set(request.forwards) };
      case 'remove':
        await this.#carried.remove(request.uids);
        return { value: null };
      case 'list':
        return { rows: await this.#carried.list(request.uids) };
      case 'counts':
        return { rows: await this.#engine.counts() };
      case 'flows':
        return { rows: await this.#engine.flows(request) };
      case 'use':
        return { value: await this.#engine.use() };
      case 'upgrade':
        return { value: await this.#upgrade(request) };
      case 'stop':
        // After the answer.
        setImmediate(() => void this.#end());
        return { value: null };
    }
  }

  async #hello(): Promise<Hello> {
    const build = await this.#options.build;
    const { name: engine } = this.#engine;
    return {
      protocol: PROTOCOL,
      build,
      engine,
      why: this.#why,
      pid: process.pid,
      started: this.#started,
      draining: this.#draining,
    };
  }

  async #upgrade(request: Request & { op: 'upgrade' }): Promise<{ readonly pid: number }> {
    const { start, paths, clock, log } = this.#options;
    const carried = this.#carried;
    // Nothing is set or removed meanwhile: what the successor gets is what there is.
    return carried.handOver(async () => {
      this.#upgrading = true;
      try {
        const { pid } = await handOver({ start, clock, engine: this.#engine, carried, request, logFile: paths.log });
        log.info({ pid }, 'a successor listens; what flows here goes on to its end');
        this.#draining = true;
        setImmediate(() => void this.#retire('upgraded'));
        return { pid };
      } catch (error) {
        if (this.#signalled) setImmediate(() => void this.#retire('signal'));
        throw error;
      } finally {
        this.#upgrading = false;
      }
    });
  }

  /** Lets go of listeners and control socket, once. What flows goes on; it can be looked at under another name. */
  async #retire(why: EndingReason): Promise<void> {
    if (this.#retiring || this.#ending) return;
    this.#retiring = true;
    this.#draining = true;
    this.#carried.close();
    const before = this.#server;
    this.#moving = this.#moveControl();
    await this.#moving;
    before.push({ event: 'ending', why });
    const drained = this.#engine.drain();
    await before.stop();
    this.#letGo = true;
    await drained;
    await this.#end();
  }

  async #moveControl(): Promise<void> {
    const { paths, log } = this.#options;
    try {
      this.#server = this.#control(paths.draining(process.pid));
      await this.#server.start();
    } catch (error) {
      log.warn({ err: error }, 'what flows here cannot be looked at any more');
    }
  }

  async #end(why: EndingReason = 'asked'): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    // A socket that opens after the end would stay behind.
    await this.#moving;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#server.push({ event: 'ending', why });
    await this.#engine.stop();
    // Last, so that whoever sees the connection end knows that all is over.
    await this.#server.stop();
    this.#options.log.info({ why }, 'the relay ends');
    this.#over();
  }

  /** Tells how much is used, so that an agent knows what is lost when this process is killed, and sees whether there is anything to do. */
  #tick(): void {
    this.#timers.set(
      'use',
      this.#options.clock.after(USE_EVERY, () => {
        this.#look().catch((error: unknown) => this.#options.log.error({ err: error }, 'the engine does not say what it uses'));
        if (!this.#ending) this.#tick();
      }),
    );
  }

  async #look(): Promise<void> {
    const { clock } = this.#options;
    const use = await this.#engine.use();
    if (this.#server.connections > 0 && !sameUse(this.#pushed, use)) {
      this.#pushed = use;
      this.#server.push({ event: 'use', use });
    }
    const nothingFlows = use.connections === 0 && use.clients === 0;
    // What the engine says of its end counts, and what it says of its flows too: nobody else would ever end this process.
    if (this.#draining && this.#letGo && nothingFlows) await this.#end('signal');
    if (this.#carried.size > 0 || !nothingFlows) this.#idleSince = clock.monotonic();
    else if (!this.#draining && clock.monotonic() - this.#idleSince >= IDLE) await this.#end('idle');
    if (!this.#draining && !this.#upgrading && (await this.#server.isReplaced())) await this.#yield();
  }

  /** Two were started at a time, by whatever mishap, and agents find the other one: nobody would ever end this one. */
  async #yield(): Promise<void> {
    // Meanwhile it may have become its successor's.
    if (this.#draining || this.#upgrading) return;
    this.#options.log.warn('another relay has taken the name of the control socket: nothing new is accepted here');
    await this.#retire('upgraded');
  }

  #noteChanged(uid: string): void {
    this.#changed.add(uid);
    if (this.#timers.has('changed')) return;
    const tell = () => {
      this.#timers.delete('changed');
      this.#server.push({ event: 'changed', uids: [...this.#changed] });
      this.#changed.clear();
    };
    this.#timers.set('changed', this.#options.clock.after(CHANGES_GATHER, tell));
  }
}

/** Descriptors come and go with connections; what is told apart is what somebody would act upon. */
const sameUse = (a: EngineUse | undefined, b: EngineUse): boolean =>
  a?.connections === b.connections && a.clients === b.clients && a.paused === b.paused && a.descriptorLimit === b.descriptorLimit;
