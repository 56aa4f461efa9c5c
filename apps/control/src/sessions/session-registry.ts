import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import { type BeforeApplicationShutdown, Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { LOGGER } from '../config/clock.js';
import { Database } from '../database/database.js';
import { Notifications, type Wakeup } from '../database/notifications.js';
import { epochChanged, gatewayDeleted, type Session } from './session.js';
import { SessionJournal } from './session-journal.js';
import { type SessionStanding, SessionsRepository } from './sessions.repository.js';

const HEARTBEAT_MS = 5_000;
/** How long an agent that flooded us stays away. */
const BAN_MS = 60_000;
/** Sessions end by themselves before grpc-js ends their connection (1 h) without a word. */
const MAX_AGE_MS = 55 * 60_000;
/** At a shutdown agents come back spread over this long for each of them, a minute at most. */
const RECONNECT_SPREAD_MS = 12;
const MAX_RECONNECT_MS = 60_000;

/** The sessions of this replica: wakes them, checks that they may go on, and ends them when the control plane leaves. */
@Injectable()
export class SessionRegistry implements OnModuleInit, BeforeApplicationShutdown {
  private readonly sessions = new Map<string, Session>();
  private readonly ages = new Map<string, NodeJS.Timeout>();
  private readonly banned = new Map<string, number>();
  private readonly ending = new Set<Promise<unknown>>();
  private heartbeat: NodeJS.Timeout | undefined;
  private checking = false;
  private leaving = false;

  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(SessionsRepository) private readonly repository: SessionsRepository,
    @Inject(Notifications) private readonly notifications: Notifications,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(SessionJournal) private readonly journal: SessionJournal,
  ) {}

  onModuleInit(): void {
    this.notifications.subscribe((wakeup) => this.onWakeup(wakeup));
    this.heartbeat = setInterval(() => void this.beat(), HEARTBEAT_MS);
  }

  /** Says GoAway to every agent; the streams end before the server does. */
  async beforeApplicationShutdown(): Promise<void> {
    this.leaving = true;
    clearInterval(this.heartbeat);
    const spread = Math.min(MAX_RECONNECT_MS, this.sessions.size * RECONNECT_SPREAD_MS);
    const left = Promise.all([...this.sessions.values()].map((s) => s.leave('SHUTDOWN', Math.random() * spread)));
    await Promise.race([left, new Promise((resolve) => setTimeout(resolve, 2_000))]);
    await Promise.all(this.ending);
  }

  /** Throws where a session of this gateway may not begin now. */
  admit(gatewayUid: string): void {
    if (this.leaving)
      throw new AppError({
        code: 'UNAVAILABLE',
        reason: 'SHUTDOWN',
        message: 'this control plane is about to leave; connect again',
      });
    const until = this.banned.get(gatewayUid);
    if (until === undefined) return;
    if (until <= performance.now()) this.banned.delete(gatewayUid);
    else
      throw new AppError({
        code: 'RESOURCE_EXHAUSTED',
        reason: 'BANNED',
        message: 'this agent sent too much; connect again later',
      });
  }

  /** The newest session of a gateway is the one; an older one here ends. */
  add(session: Session): void {
    this.sessions.get(session.gatewayUid)?.end(identityInUse());
    this.sessions.set(session.gatewayUid, session);
    const age = setTimeout(() => void session.leave('MAX_AGE', 0), MAX_AGE_MS * (0.9 + Math.random() * 0.1));
    this.ages.set(session.uid, age.unref());
  }

  /** A session ended, for whatever reason; one that never was added here is none of our business. */
  ended(session: Session, error: AppError | undefined): void {
    const age = this.ages.get(session.uid);
    if (!age) return;
    clearTimeout(age);
    this.ages.delete(session.uid);
    this.journal.ended(session, error);
    if (error?.code === 'RESOURCE_EXHAUSTED') this.banned.set(session.gatewayUid, performance.now() + BAN_MS);
    if (this.sessions.get(session.gatewayUid) === session) this.sessions.delete(session.gatewayUid);
    const end = this.database
      .run((tx) => this.repository.end(tx, session.uid))
      .then(() => this.notifications.publish([{ topic: 'session', uid: session.gatewayUid }]))
      .catch((error: unknown) =>
        session.log.warn({ err: error }, 'could not note the end of the session; it ends by its missing heartbeat'),
      )
      .finally(() => this.ending.delete(end));
    this.ending.add(end);
  }

  private onWakeup(wakeup: Wakeup): void {
    if (wakeup === 'everything') void this.check([...this.sessions.keys()]);
    else if (wakeup.topic === 'desired') this.sessions.get(wakeup.uid)?.wake();
    else if (wakeup.topic === 'session' && this.sessions.has(wakeup.uid)) void this.checkOne(wakeup.uid);
  }

  /** All sessions against the database, in one question. */
  private async check(gatewayUids: readonly string[]): Promise<void> {
    if (gatewayUids.length === 0 || this.checking) return;
    this.checking = true;
    try {
      await this.compare(gatewayUids);
    } finally {
      this.checking = false;
    }
  }

  private checkOne(gatewayUid: string): Promise<void> {
    return this.compare([gatewayUid]);
  }

  private async compare(gatewayUids: readonly string[]): Promise<void> {
    const before = new Map(gatewayUids.map((uid) => [uid, this.sessions.get(uid)]));
    let rows: readonly SessionStanding[];
    try {
      rows = await this.database.run((tx) => this.repository.standing(tx, gatewayUids));
    } catch (error) {
      // The database is away: sessions go on, nothing is known to speak against them.
      this.logger.debug({ err: error }, 'could not check the sessions');
      return;
    }
    const standings = new Map(rows.map((row) => [row.gatewayUid, row]));
    // One that began meanwhile was not what the question was about.
    for (const [gatewayUid, session] of before)
      if (session && this.sessions.get(gatewayUid) === session) judge(session, standings.get(gatewayUid));
  }

  private async beat(): Promise<void> {
    const uids = [...this.sessions.values()].map((session) => session.uid);
    if (uids.length === 0) return;
    try {
      await this.database.run((tx) => this.repository.heartbeat(tx, uids));
    } catch (error) {
      this.logger.warn({ err: error }, 'could not write the heartbeat of the sessions');
    }
  }
}

/** Whether a session may go on, by what the database says of its gateway. */
function judge(session: Session, standing: SessionStanding | undefined): void {
  const objection = objectionTo(session, standing);
  if (objection) session.end(objection);
  else if (standing) session.notice(standing);
}

function objectionTo(session: Session, standing: SessionStanding | undefined): AppError | undefined {
  if (!standing) return gatewayDeleted();
  if (!standing.serials.includes(session.serial)) return certificateReplaced();
  if (standing.sessionUid !== undefined && standing.sessionUid !== session.uid) return identityInUse();
  return session.epoch !== '' && standing.epoch !== session.epoch ? epochChanged() : undefined;
}

const identityInUse = (): AppError =>
  new AppError({
    code: 'ABORTED',
    reason: 'IDENTITY_IN_USE',
    message: 'a newer session of this gateway took over; does another host use the same identity?',
  });
const certificateReplaced = (): AppError =>
  new AppError({
    code: 'UNAVAILABLE',
    reason: 'CERTIFICATE_REPLACED',
    message: 'the certificate of this session was replaced; connect again with the newer one',
  });
