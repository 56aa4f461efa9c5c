import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock, Timer } from '../clock.js';
import type { StartDetached } from '../system/detached-process.js';
import { listenersIn } from '../system/socket-holders.js';
import { upgradeRelay } from './client.js';
import { DrainingRelays, drainingPids, type SilentRelay } from './draining.js';
import { endRelays, type KilledRelay } from './ending.js';
import { type EngineUse, fewDescriptors } from './engine.js';
import { RelayLink } from './link.js';
import { legacyLine } from './process/inheritance.js';
import { begun } from './process/successor.js';
import { type EndingReason, PROTOCOL } from './protocol.js';
import { isBoundName, type RelayPaths } from './relay-paths.js';
import type { Loss, RelayState, Supervision } from './relay-state.js';
import { wireForward } from './wire-forward.js';

/** Milliseconds. A relay that lived shorter than this and dies again is not started again at once. */
const LONG_ENOUGH = 10_000;
/** What one that was replaced may take to let go. */
const LETS_GO = 10_000;
const FIRST_WAIT = 100;
const LONGEST_WAIT = 30_000;

/** How a relay is started. */
export interface RelayProgram {
  readonly program: string;
  readonly args: readonly string[];
  /** Names the program as it is on the disk now (see build-id.ts). */
  readonly build: () => Promise<string>;
}

export interface SupervisorOptions {
  readonly paths: RelayPaths;
  readonly program: RelayProgram;
  readonly start: StartDetached;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The agent's side of the relay's life: finds the one that runs or starts one, replaces one of another build, and starts it again when it
 * dies. Merely looking ({@link find}) starts and replaces nothing, until {@link supervise} was called.
 */
export class RelaySupervisor {
  readonly #options: SupervisorOptions;
  readonly #pids = new Set<number>();
  /** Those that need not be replaced: just started, or tried in vain. */
  readonly #settled = new Set<number>();
  #link: RelayLink | undefined;
  #since = 0;
  #use: EngineUse | undefined;
  #loss: Loss | undefined;
  #trouble: string | undefined;
  #upgradeTrouble: string | undefined;
  readonly #draining: DrainingRelays;
  /** A relay is to run at all times. */
  #needed = false;
  #turn: Promise<unknown> = Promise.resolve();
  #deaths = 0;
  #notBefore = 0;
  #timer: Timer | undefined;
  #supervision: Supervision | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { paths, clock, log } = options;
    this.#draining = new DrainingRelays(paths, { clock, log });
  }

  /** From now on the relay is this process's to look after. */
  supervise(supervision: Supervision): void {
    this.#supervision = supervision;
  }

  unsupervise(): void {
    this.#supervision = undefined;
    this.#timer?.cancel();
  }

  /** Whether there is anything to carry: a relay that dies is started again only then. */
  need(needed: boolean): void {
    this.#needed = needed;
    if (!needed) this.#trouble = undefined;
  }

  state(): RelayState {
    return {
      hello: this.#link?.hello,
      use: this.#link && this.#use,
      loss: this.#loss,
      trouble: this.#trouble,
      upgradeTrouble: this.#upgradeTrouble,
      draining: this.#draining.pids,
      silent: this.#draining.silent,
    };
  }

  /** The one that listens, if one does. */
  find(): Promise<RelayLink | undefined> {
    return this.#inTurn(() => this.#found());
  }

  /** The one that listens, which is started where none does. Throws RELAY_DOWN while one that keeps dying rests. */
  ensure(): Promise<RelayLink> {
    return this.#inTurn(async () => (await this.#found()) ?? (await this.#started()));
  }

  /** Process ids of relays of ours, as far as they were seen: what they listen on is no stranger's. */
  async processes(): Promise<ReadonlySet<number>> {
    try {
      await this.find();
    } catch (error) {
      // One that does not answer is known by what it holds. Whoever wants to tell it something learns why that fails.
      this.#options.log.debug({ err: error }, 'the relay does not say who it is');
      for (const { pid } of await listenersIn(this.#options.paths.directory, isBoundName)) this.#pids.add(pid);
    }
    for (const pid of await drainingPids(this.#options.paths.directory)) this.#pids.add(pid);
    return this.#pids;
  }

  /**
   * Has `ask` speak with every relay that drains; resolves to the process ids of all of them. One that does not answer is waited for once,
   * and named in the state for as long as it does not.
   */
  async askDraining(ask: (link: RelayLink) => Promise<void>): Promise<readonly number[]> {
    const silent = pidsOf(this.#draining.silent);
    const pids = await this.#draining.each(ask);
    for (const pid of pids) this.#pids.add(pid);
    if (pidsOf(this.#draining.silent) !== silent) this.#supervision?.notify();
    return pids;
  }

  /**
   * Ends every relay of this state directory, whatever flows through it; resolves to those that had to be killed since they did not
   * answer. Throws RELAY_NOT_ENDED where one goes on.
   */
  async stop(): Promise<readonly KilledRelay[]> {
    this.unsupervise();
    this.need(false);
    const { paths, clock, log } = this.#options;
    // Its end is no loss.
    const link = this.#link;
    this.#link = undefined;
    link?.close();
    const killed = await endRelays(paths, { clock, log });
    for (const { pid, why } of killed) log.info({ pid, why }, 'the relay did not end when it was asked to, and was killed');
    await this.#draining.each(async () => undefined);
    return killed;
  }

  async #found(): Promise<RelayLink | undefined> {
    if (!this.#link?.alive) this.#link = await this.#opened();
    const link = this.#link;
    if (!link || !this.#supervision || this.#settled.has(link.hello.pid)) return link;
    return this.#upToDate(link);
  }

  async #opened(): Promise<RelayLink | undefined> {
    const { paths, clock, log } = this.#options;
    const link = await RelayLink.open({ socket: paths.socket, clock, log });
    if (!link) return undefined;
    this.#pids.add(link.hello.pid);
    // Only the connection to it had broken: nothing of what flows was lost.
    if (this.#loss?.pid === link.hello.pid && this.#loss.started === link.hello.started) this.#loss = undefined;
    this.#since = clock.monotonic();
    this.#use = undefined;
    this.#trouble = undefined;
    link.onEvent((event) => {
      if (event.event === 'ending') return;
      let news = true;
      if (event.event === 'use') {
        // Numbers change every second where something flows; only what a condition says of them is worth a look at everything.
        news = (this.#use !== undefined && fewDescriptors(this.#use)) !== fewDescriptors(event.use);
        this.#use = event.use;
      }
      if (news && this.#link === link) this.#supervision?.notify();
    });
    void link.closed.then((why) => this.#gone(link, why));
    return link;
  }

  /** Replaces a relay that runs another program than is on the disk. Where that fails the old one goes on. */
  async #upToDate(link: RelayLink): Promise<RelayLink | undefined> {
    const { program, log } = this.#options;
    const { pid, build, protocol } = link.hello;
    this.#settled.add(pid);
    try {
      if (build === (await program.build())) return link;
      const successor = await upgradeRelay(link, program);
      this.#pids.add(successor.pid);
      this.#settled.add(successor.pid);
      log.info({ pid, successor: successor.pid }, 'the relay was replaced by one of this version; what flows through it goes on');
      await this.#untilLetGo(link);
      this.#upgradeTrouble = undefined;
      this.#draining.add(pid);
      this.#link = await this.#opened();
      return this.#link;
    } catch (error) {
      // It was ended meanwhile: there is nothing to replace. Who listens now, if anybody does, is another one.
      if (error instanceof AppError && error.reason === 'RELAY_GONE') {
        this.#link = await this.#opened();
        return this.#link;
      }
      this.#upgradeTrouble = AppError.from(error).message;
      log.error({ err: error, pid }, 'the relay could not be replaced by one of this version; the older one goes on');
      if (protocol === PROTOCOL) return link;
      throw error;
    }
  }

  /** An old relay ends its connections once it has let go. One that does not is not waited for: the new one listens. */
  async #untilLetGo(link: RelayLink): Promise<void> {
    const late = this.#options.clock.after(LETS_GO, () => {
      this.#link = undefined;
      link.close();
    });
    await link.untilClosed();
    late.cancel();
  }

  async #started(): Promise<RelayLink> {
    const { program, start, paths, clock, log } = this.#options;
    const wait = this.#notBefore - clock.monotonic();
    if (wait > 0) throw down(`${this.#trouble ?? 'it keeps ending'}; it is started again in ${Math.ceil(wait / 1000)} s`);
    try {
      const began = await start({ program: program.program, args: program.args, log: paths.log });
      this.#pids.add(began.pid);
      // It listens as soon as it is there, before anybody has spoken to it.
      const forwards = [...(this.#supervision?.wanted() ?? [])].map(wireForward);
      await begun(began, legacyLine({ succeeds: false, sockets: [], forwards }), clock);
      this.#settled.add(began.pid);
      this.#upgradeTrouble = undefined;
      const link = await this.#opened();
      if (!link) throw down('it ended as soon as it listened');
      this.#link = link;
      log.info({ pid: link.hello.pid, engine: link.hello.engine }, 'a relay was started');
      return link;
    } catch (error) {
      this.#rest();
      this.#trouble = AppError.from(error).message;
      throw error;
    }
  }

  #gone(link: RelayLink, why: EndingReason | undefined): void {
    const { clock, log } = this.#options;
    if (this.#link !== link) return;
    this.#link = undefined;
    const { pid, started } = link.hello;
    if (why === 'upgraded') return;
    if (why === undefined) {
      this.#loss = { pid, started, at: clock.now(), open: this.#use };
      this.#trouble = `the relay (pid ${pid}) ended unexpectedly`;
      log.error({ pid, open: this.#use }, 'the relay ended unexpectedly');
      // Once may happen: then nobody waits.
      if (clock.monotonic() - this.#since >= LONG_ENOUGH) this.#deaths = 0;
      if (this.#deaths > 0) this.#rest();
      else this.#deaths = 1;
    }
    if (!this.#supervision || !this.#needed) return;
    this.#restartWhenDue();
    // What it carried is not carried for a while: that is told now. One that is there again in a moment tells it then.
    if (this.#notBefore > clock.monotonic()) this.#supervision.notify();
  }

  #rest(): void {
    this.#notBefore =
      this.#options.clock.monotonic() + Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(Math.max(0, this.#deaths - 1), 10));
    this.#deaths++;
  }

  #restartWhenDue(): void {
    const { clock, log } = this.#options;
    this.#timer?.cancel();
    this.#timer = clock.after(Math.max(0, this.#notBefore - clock.monotonic()), () => {
      this.#restart().catch((error: unknown) => {
        log.error({ err: error }, 'the relay could not be started again; it is tried once more');
        // Whatever it was that failed: it is not tried in a loop.
        if (this.#notBefore <= clock.monotonic()) this.#rest();
        if (this.#supervision && this.#needed) this.#restartWhenDue();
        this.#supervision?.notify();
      });
    });
  }

  async #restart(): Promise<void> {
    const supervision = this.#supervision;
    if (!supervision || !this.#needed) return;
    await supervision.restored(await this.ensure());
    if (this.#loss && this.#loss.again === undefined) this.#loss = { ...this.#loss, again: this.#options.clock.now() };
    supervision.notify();
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(run);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}

const pidsOf = (relays: readonly SilentRelay[]): string => relays.map((r) => r.pid).join();

const down = (why: string) =>
  new AppError({
    code: 'UNAVAILABLE',
    reason: 'RELAY_DOWN',
    message: `no relay runs: ${why}; see relay.log in the state directory`,
  });
