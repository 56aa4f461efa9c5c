import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import { type Clock, pause, type Random, type Timer } from '../clock.js';
import type { DesiredStore, Outcome } from '../desired/desired-store.js';
import type { Change, Held } from '../desired/types.js';
import { backOff } from './backoff.js';
import type { Dialler } from './dialler.js';
import { type About, hello } from './mapper.js';
import type { Outbox } from './outbox.js';
import { type Ask, begun, type Effect, type Inbound, type SessionState, step } from './session-core.js';
import type { SessionStream } from './stream.js';

/** Milliseconds. */
const WELCOME_TIMEOUT = 20_000;
/** A session that lasted this long was a good one: the next failure starts from the shortest wait again. */
const STABLE = 30_000;
/** Below every revision. */
const NONE = -1;
/** A hint to come back later than this is not followed to the letter. */
const LONGEST_HINT = 300_000;

export interface ControlLinkOptions {
  readonly dialler: Dialler;
  readonly store: DesiredStore;
  readonly outbox: Outbox;
  readonly host: {
    readonly about: () => About;
    /** What the host matches, undefined before the first reconcile. */
    readonly applied: () => { readonly epoch: string; readonly revision: number } | undefined;
  };
  readonly runtime: { readonly clock: Clock; readonly random: Random; readonly log: Logger };
}

export interface LinkStatus {
  readonly connected: boolean;
  /** Since when it is or is not. */
  readonly since: number;
  readonly server?: string;
  readonly sessionId?: string;
  readonly controlVersion?: string;
  /** Why there is no session. */
  readonly error?: { readonly reason: string; readonly message: string };
  readonly nextAttempt?: number;
  /** How far the control plane's clock was ahead of ours when it welcomed us, milliseconds. */
  readonly clockSkew?: number;
}

interface Ended {
  readonly ask: Ask;
  /** How long it was live; 0 where it never was. */
  readonly lasted: number;
  /** What the control plane asked for. */
  readonly reconnectAfter?: number;
  readonly error?: AppError;
}

/** What one session has come to. */
interface Live {
  readonly stream: SessionStream;
  readonly server: string;
  readonly held: Held | undefined;
  readonly applied: number;
  state: SessionState;
  began: number | undefined;
  reporting: boolean;
  /** Monotonic time at which the control plane wants us back. */
  leaveAt: number | undefined;
  leaving: Timer | undefined;
  /** Why this side gave the stream up, where it did. */
  why: AppError | undefined;
}

/** Keeps one session with the control plane, for as long as the agent runs. */
export class ControlLink {
  private status_: LinkStatus;
  private current: SessionStream | undefined;
  private hurry = new AbortController();

  constructor(private readonly options: ControlLinkOptions) {
    this.status_ = { connected: false, since: options.runtime.clock.now() };
  }

  status(): LinkStatus {
    return this.status_;
  }

  /** Ends the session, if there is one, and begins another at once: the identity changed. */
  restart(): void {
    this.hurry.abort();
    this.current?.end();
  }

  /** Runs until `signal` is aborted. Never throws: without a control plane, the agent goes on with what it holds. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.options.runtime;
    let failures = 0;
    let ask: Ask = 'resume';
    while (!signal.aborted) {
      this.hurry = new AbortController();
      const ended = await this.session(ask, signal);
      if (signal.aborted) return;
      ask = ended.ask;
      if (ended.lasted >= STABLE) failures = 0;
      const wait = this.hurry.signal.aborted ? 0 : (ended.reconnectAfter ?? backOff(failures, random));
      failures++;
      const error =
        ended.error ??
        new AppError({ code: 'UNAVAILABLE', reason: 'STREAM_ENDED', message: 'the control plane ended the session' });
      this.disconnected(error, clock.now() + wait);
      log.warn({ reason: error.reason, retryInMs: Math.round(wait) }, `no session with the control plane: ${error.message}`);
      log.debug({ err: error }, 'why there is no session');
      await pause(clock, wait, AbortSignal.any([signal, this.hurry.signal]));
    }
  }

  private async session(ask: Ask, signal: AbortSignal): Promise<Ended> {
    const { dialler, store, outbox, host, runtime } = this.options;
    store.dropPending();
    const held = ask === 'snapshot' ? undefined : store.held();
    const done = host.applied();
    const applied = done && done.epoch === held?.epoch ? done.revision : NONE;
    const { server, stream } = dialler.open();
    const live: Live = {
      stream,
      server,
      held,
      applied,
      state: begun,
      began: undefined,
      reporting: false,
      leaveAt: undefined,
      leaving: undefined,
      why: undefined,
    };
    this.current = stream;
    const stop = () => stream.end();
    signal.addEventListener('abort', stop, { once: true });
    const impatience = runtime.clock.after(WELCOME_TIMEOUT, () =>
      giveUp(live, 'NO_WELCOME', `${server} did not answer within ${WELCOME_TIMEOUT / 1000} s`),
    );
    let ended: Ended;
    try {
      stream.send(hello(host.about(), held, Math.max(0, applied)));
      ended = await this.converse(live, impatience);
    } catch (error) {
      ended = this.ended(live, { error: live.why ?? explain(server, error) });
    } finally {
      signal.removeEventListener('abort', stop);
      impatience.cancel();
      live.leaving?.cancel();
      live.reporting = false;
      outbox.end();
      stream.end();
      this.current = undefined;
    }
    return ended;
  }

  private async converse(live: Live, impatience: Timer): Promise<Ended> {
    for await (const batch of live.stream.inbound()) {
      for (const effects of grouped(this.effectsOf(live, batch))) {
        if (effects[0]?.kind === 'welcomed') impatience.cancel();
        const ended = await this.carryOut(live, effects);
        if (ended) return ended;
      }
    }
    return this.ended(live, {});
  }

  private effectsOf(live: Live, batch: readonly Inbound[]): Effect[] {
    const effects: Effect[] = [];
    for (const message of batch) {
      const next = step(live.state, message, live.held);
      live.state = next.state;
      if (next.effect) effects.push(next.effect);
    }
    return effects;
  }

  /** Several changes in a row are one group, so that the disk is waited for once; everything else stands alone. */
  private async carryOut(live: Live, effects: readonly Effect[]): Promise<Ended | undefined> {
    const { store, outbox, runtime } = this.options;
    const [effect] = effects;
    switch (effect?.kind) {
      case undefined:
        return undefined;
      case 'welcomed':
        await this.welcomed(live, effect);
        return undefined;
      case 'resumed':
        store.confirm();
        return undefined;
      case 'snapshot': {
        const outcome = await store.acceptSnapshot(effect.snapshot);
        if (outcome.kind === 'refused') return this.refused(live, outcome);
        outbox.rewind();
        return undefined;
      }
      case 'change': {
        const changes = effects.flatMap((e): Change[] => (e.kind === 'change' ? [e.change] : []));
        const outcome = await store.acceptChanges(changes);
        return outcome.kind === 'refused' ? this.refused(live, outcome) : undefined;
      }
      case 'leave':
        this.leave(live, effect);
        return undefined;
      case 'ignored':
        runtime.log.warn('the control plane sent a message that this agent does not know; it is ignored');
        return undefined;
      case 'end':
        return this.ended(live, {
          ask: effect.ask,
          error: new AppError({ code: 'ABORTED', reason: effect.reason, message: effect.message }),
        });
    }
  }

  private async welcomed(live: Live, { welcome }: Effect & { kind: 'welcomed' }): Promise<void> {
    const { clock, log } = this.options.runtime;
    live.began = clock.monotonic();
    this.status_ = {
      connected: true,
      since: clock.now(),
      server: live.server,
      sessionId: welcome.sessionId,
      controlVersion: welcome.controlVersion,
      ...(welcome.time === undefined ? {} : { clockSkew: welcome.time - clock.now() }),
    };
    log.info({ server: live.server, session: welcome.sessionId, controlVersion: welcome.controlVersion }, 'session begun');
    // From here on it hears how things stand, also where it has nothing to tell for now (a cordoned gateway).
    live.reporting = true;
    this.options.outbox.begin(welcome.epoch, { accepted: live.held?.revision ?? NONE, applied: live.applied });
    void this.send(live);
    await this.options.dialler.welcomed();
  }

  /** Sends what there is for as long as the session lasts, no faster than the control plane reads. */
  private async send(live: Live): Promise<void> {
    const { outbox } = this.options;
    try {
      while (live.reporting) {
        const message = outbox.next();
        if (message === undefined) await outbox.woken();
        else if (!live.stream.send(message)) await live.stream.drained();
      }
    } catch (error) {
      this.options.runtime.log.error({ err: error }, 'a report could not be made');
      giveUp(live, 'REPORT_FAILED', 'a report could not be made; the log holds the cause');
    }
  }

  private leave(live: Live, { after, reason }: Effect & { kind: 'leave' }): void {
    const { clock, log } = this.options.runtime;
    const wait = Math.min(Math.max(0, after), LONGEST_HINT);
    log.info({ reason, reconnectInMs: wait }, 'the control plane is about to leave');
    live.leaveAt = clock.monotonic() + wait;
    live.leaving?.cancel();
    live.leaving = clock.after(wait, () => giveUp(live, 'GO_AWAY', `the control plane asked to be left: ${reason}`));
  }

  private refused(live: Live, { refusal }: Outcome & { kind: 'refused' }): Ended {
    return this.ended(live, {
      // What does not add up can only be healed by starting over; the rest is the control plane's to put right.
      ask: refusal.reason === 'DIGEST_MISMATCH' || refusal.reason === 'DUPLICATE_UID' ? 'snapshot' : 'resume',
      error: new AppError({ code: 'ABORTED', reason: refusal.reason, message: refusal.message }),
    });
  }

  private ended(live: Live, how: { ask?: Ask; error?: AppError }): Ended {
    const now = this.options.runtime.clock.monotonic();
    return {
      ask: how.ask ?? 'resume',
      lasted: live.began === undefined ? 0 : now - live.began,
      ...(live.leaveAt === undefined ? {} : { reconnectAfter: Math.max(0, live.leaveAt - now) }),
      ...(how.error ? { error: how.error } : {}),
    };
  }

  private disconnected(error: AppError, nextAttempt: number): void {
    const { clock } = this.options.runtime;
    const since = this.status_.connected ? clock.now() : this.status_.since;
    this.status_ = { connected: false, since, nextAttempt, error: { reason: error.reason, message: error.message } };
  }
}

/** grpc-js wraps what the socket said into a sentence of its own. */
function explain(server: string, error: unknown): AppError {
  const failure = AppError.from(error);
  const said = /Last error: (?:Error: )?(.*?)\.? Resolution note:/s.exec(failure.message)?.[1];
  if (said === undefined) return failure;
  return new AppError({
    code: 'UNAVAILABLE',
    reason: 'CONTROL_PLANE_UNREACHABLE',
    message: `${server} cannot be reached: ${said}`,
    cause: error,
  });
}

function giveUp(live: Live, reason: string, message: string): void {
  live.why = new AppError({ code: 'UNAVAILABLE', reason, message });
  live.stream.end();
}

function* grouped(effects: readonly Effect[]): Generator<readonly Effect[]> {
  for (let at = 0; at < effects.length; ) {
    let next = at + 1;
    if (effects[at]?.kind === 'change') while (effects[next]?.kind === 'change') next++;
    yield effects.slice(at, next);
    at = next;
  }
}
