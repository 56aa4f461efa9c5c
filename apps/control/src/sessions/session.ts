import type { Accepted, Applied, SessionRequest } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { DesiredVersion, Start } from '../revisions/revisions-core.js';
import type { DesiredFeed } from './desired-feed.js';
import { InboundLimit } from './inbound-limit.js';
import { change, goAway, resume, snapshot, welcome } from './messages.js';
import { Outbound, type Write } from './outbound.js';
import type { SessionStanding } from './sessions.repository.js';

/** Messages that the agent has not accepted yet and that may be on the way; more wait and are folded into one. */
const WINDOW = 4;

/** What a session tells whoever keeps it. */
export interface SessionEvents {
  readonly onAccepted: (session: Session, accepted: Accepted) => void;
  readonly onApplied: (session: Session, applied: Applied) => void;
  readonly onReport: (session: Session, message: SessionRequest['message']) => void;
  /** The stream is to end with this. */
  readonly onEnd: (session: Session, error: AppError | undefined) => void;
}

/** One live stream to one agent: tells it its desired state from a cursor on, and takes its word. */
export class Session {
  readonly uid: string;
  readonly gatewayUid: string;
  readonly gateway: string;
  readonly serial: string;
  readonly source: string;
  /** Epoch that this session speaks of; known once it started. */
  epoch = '';
  private readonly feed: DesiredFeed;
  private readonly logger: Logger;
  private readonly events: SessionEvents;
  private readonly outbound: Outbound;
  private readonly limit: InboundLimit;
  private held: DesiredVersion | undefined;
  /** How to begin, where that was decided and nothing can have changed since. */
  private beginning: Start | undefined;
  private cursor: bigint | undefined;
  private known = 0n;
  private cordoned = false;
  private unaccepted: bigint[] = [];
  /** The newest revision of this epoch that the agent has. */
  private accepted = -1n;
  /** The revision that was sent with leave to remove much. */
  private leaveTold: bigint | undefined;
  private greeted = false;
  private pumping = false;
  private woken = false;
  private ended = false;

  constructor(options: {
    readonly uid: string;
    readonly agent: { readonly gatewayUid: string; readonly gateway: string; readonly serial: string; readonly source: string };
    readonly feed: DesiredFeed;
    readonly write: Write;
    readonly logger: Logger;
    readonly events: SessionEvents;
  }) {
    this.uid = options.uid;
    this.gatewayUid = options.agent.gatewayUid;
    this.gateway = options.agent.gateway;
    this.serial = options.agent.serial;
    this.source = options.agent.source;
    this.feed = options.feed;
    this.logger = options.logger.child({ gateway: this.gateway, session: this.uid });
    this.events = options.events;
    this.limit = new InboundLimit(performance.now());
    this.outbound = new Outbound({ write: options.write, onLag: (error) => this.end(error) });
  }

  get log(): Logger {
    return this.logger;
  }

  /** Greets the agent and begins to tell. @param held What the agent says it holds. */
  async start(held: DesiredVersion, standing: { readonly cordoned: boolean }, now: number): Promise<void> {
    this.cordoned = standing.cordoned;
    const decided = await this.decide(held);
    if (!decided) return;
    this.epoch = decided.epoch;
    this.held = held;
    // While the gateway is cordoned the desired state moves on, so it is decided anew when that ends.
    if (!this.cordoned) this.beginning = decided.start;
    await this.outbound.send(welcome({ uid: this.uid, epoch: this.epoch, gateway: this.gateway, now }));
    this.greeted = true;
    this.wake();
  }

  /** There may be something to tell. */
  wake(): void {
    this.woken = true;
    if (this.pumping || this.ended || !this.greeted) return;
    this.pumping = true;
    this.pump()
      .catch((error: unknown) => this.end(AppError.from(error)))
      .finally(() => {
        this.pumping = false;
        if (this.woken && !this.ended) this.wake();
      });
  }

  /** What the database says now about this gateway. */
  notice(standing: Pick<SessionStanding, 'revision' | 'cordoned' | 'massRemoval'>): void {
    this.known = standing.revision;
    const uncordoned = this.cordoned && !standing.cordoned;
    this.cordoned = standing.cordoned;
    if (this.isHeldBack(standing)) {
      // What was told so far is held back by the agent and will not be accepted; it is told again, with the operator's word.
      this.unaccepted = [];
      this.cursor = undefined;
    }
    if (uncordoned || this.cursor === undefined || standing.revision > this.cursor) this.wake();
  }

  /** Whether the operator's leave to remove much is about what the agent has not accepted, and has not been told yet. */
  private isHeldBack({ revision, massRemoval }: Pick<SessionStanding, 'revision' | 'massRemoval'>): boolean {
    return massRemoval === revision && this.leaveTold !== revision && this.accepted < revision;
  }

  /** A message of the agent's. */
  receive(message: SessionRequest['message']): void {
    if (this.ended) return;
    if (!this.limit.take(performance.now())) this.end(tooManyMessages());
    else if (message.case === 'accepted') this.onAccepted(message.value);
    else if (message.case === 'applied') this.onApplied(message.value);
    else if (message.case === 'status' || message.case === 'event') this.events.onReport(this, message);
    else if (message.case === 'hello') this.end(secondHello());
    // A newer agent's message: what this version does not know, it leaves alone.
    else this.logger.debug('message of an unknown kind');
  }

  /** Says that the control plane leaves, then ends the stream. */
  async leave(reason: string, reconnectAfterMs: number): Promise<void> {
    if (this.ended) return;
    await this.outbound.send(goAway(reason, reconnectAfterMs));
    this.end(undefined);
  }

  /** Ends the session; the first reason counts. */
  end(error: AppError | undefined): void {
    if (this.ended) return;
    this.ended = true;
    this.outbound.close();
    this.events.onEnd(this, error);
  }

  private onAccepted(accepted: Accepted): void {
    if (this.acknowledge(accepted)) this.events.onAccepted(this, accepted);
  }

  private onApplied(applied: Applied): void {
    if (this.acknowledge(applied)) this.events.onApplied(this, applied);
  }

  private async decide(held: DesiredVersion) {
    const decided = await this.feed.start({ uid: this.gatewayUid, name: this.gateway, source: this.source }, held);
    if (!decided) this.end(gatewayDeleted());
    return decided;
  }

  private async pump(): Promise<void> {
    while (this.woken && !this.ended) {
      this.woken = false;
      if (this.cordoned || this.unaccepted.length >= WINDOW) continue;
      if (this.cursor === undefined) await this.tellAll();
      else await this.tellNext(this.cursor);
    }
  }

  private async tellAll(): Promise<void> {
    const beginning = this.beginning ?? (this.held && (await this.decide(this.held))?.start);
    this.beginning = undefined;
    this.held = undefined;
    if (this.ended) return;
    if (beginning?.kind === 'resume') {
      this.cursor = beginning.revision;
      this.accepted = beginning.revision;
      this.woken = true;
      return this.outbound.send(resume(this.cursor));
    }
    const whole = await this.feed.snapshot(this.gatewayUid);
    if (!whole) return this.end(gatewayDeleted());
    if (whole.version.epoch !== this.epoch) return this.end(epochChanged());
    this.logger.debug({ revision: Number(whole.version.revision), forwards: whole.entries.length }, 'sending a snapshot');
    if (whole.allowMassRemoval) this.leaveTold = whole.version.revision;
    for (const message of snapshot(whole)) {
      if (this.ended) return;
      await this.outbound.send(message);
    }
    this.sent(whole.version.revision);
  }

  private async tellNext(cursor: bigint): Promise<void> {
    const next = await this.feed.next(this.gatewayUid, cursor, this.known);
    if (this.ended || next.kind === 'nothing') return;
    if (next.kind === 'gap') {
      this.cursor = undefined;
      this.woken = true;
      return;
    }
    this.sent(next.change.revision);
    await this.outbound.send(change(next.change));
  }

  private sent(revision: bigint): void {
    this.cursor = revision;
    this.unaccepted.push(revision);
    this.limit.pushed();
    // There may be more behind what fitted.
    this.woken = true;
  }

  /** Whether the agent may say so: of this epoch, and of a revision that it was told or came with. */
  private acknowledge({ epoch, revision }: { readonly epoch: string; readonly revision: bigint }): boolean {
    const told = this.cursor ?? this.held?.revision ?? 0n;
    if (epoch !== this.epoch || revision > told) {
      this.logger.warn({ epoch, revision: String(revision) }, 'the agent speaks of a revision that it was not told; ignored');
      return false;
    }
    if (revision > this.accepted) this.accepted = revision;
    const before = this.unaccepted.length;
    this.unaccepted = this.unaccepted.filter((sent) => sent > revision);
    if (before >= WINDOW && this.unaccepted.length < WINDOW) this.wake();
    return true;
  }
}

const tooManyMessages = (): AppError =>
  new AppError({
    code: 'RESOURCE_EXHAUSTED',
    reason: 'TOO_MANY_MESSAGES',
    message: 'this agent sends more than 50 messages a second; connect again in 60 s',
  });
const secondHello = (): AppError =>
  new AppError({ code: 'INVALID_ARGUMENT', reason: 'SECOND_HELLO', message: 'Hello may come once, first' });
export const gatewayDeleted = (): AppError =>
  new AppError({ code: 'PERMISSION_DENIED', reason: 'GATEWAY_DELETED', message: 'this gateway was deleted' });
export const epochChanged = (): AppError =>
  new AppError({
    code: 'ABORTED',
    reason: 'EPOCH_CHANGED',
    message: 'the desired state has a new epoch; connect again to get it whole',
  });
