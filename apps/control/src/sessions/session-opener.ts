import type { Hello } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../config/clock.js';
import { Database } from '../database/database.js';
import { Notifications } from '../database/notifications.js';
import type { CallContext, Principal } from '../grpc/call-context.js';
import { agentFacts } from './reports.mapper.js';
import { gatewayDeleted, type Session } from './session.js';
import { SessionJournal } from './session-journal.js';
import { type AgentFacts, SessionsRepository } from './sessions.repository.js';
import { Turnstile } from './turnstile.js';

/** Sessions that may be opening at once: a reconnect storm queues here instead of in the database. */
const MAX_OPENING = 200;

/** Opens a session: checks who it is for, takes the gateway's place in the database, and begins to tell. */
@Injectable()
export class SessionOpener {
  private readonly turnstile = new Turnstile(MAX_OPENING);

  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(SessionsRepository) private readonly repository: SessionsRepository,
    @Inject(Notifications) private readonly notifications: Notifications,
    @Inject(SessionJournal) private readonly journal: SessionJournal,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** The stream is bound to the certificate's gateway: a Hello for another one ends it, and is recorded. */
  checkIdentity(hello: Hello, principal: Extract<Principal, { kind: 'agent' }>, context: CallContext): void {
    if (hello.gatewayUid === principal.gatewayUid) return;
    this.journal.mismatch(principal, context);
    throw new AppError({
      code: 'ABORTED',
      reason: 'IDENTITY_MISMATCH',
      message: "Hello names another gateway than this agent's certificate",
    });
  }

  /** @param register Makes the session known on this replica, once the database says that it is the one. */
  async open(session: Session, hello: Hello, context: CallContext, register: (session: Session) => void): Promise<void> {
    await this.turnstile.pass(async () => {
      const facts = agentFacts(hello);
      const { previous, cordoned } = await this.takePlace(session, hello, facts);
      if (context.signal.aborted) throw new AppError({ code: 'CANCELLED', reason: 'CANCELLED', message: 'the agent went away' });
      register(session);
      this.notifications.publish([{ topic: 'session', uid: session.gatewayUid }]);
      this.journal.began(session, facts);
      if (previous && previous.instance !== facts.instance) this.journal.tookOver(session, previous.source);
      const held = { epoch: hello.epoch, revision: hello.acceptedRevision, digest: hello.digest };
      await session.start(held, { cordoned }, this.clock.now());
    });
  }

  private takePlace(session: Session, hello: Hello, facts: AgentFacts) {
    const { gatewayUid, source } = session;
    return this.database.transaction(async (tx) => {
      const [found] = await this.repository.standing(tx, [gatewayUid]);
      if (!found) throw gatewayDeleted();
      const sameEpoch = found.epoch === hello.epoch;
      const previous = await this.repository.begin(tx, {
        gatewayUid,
        sessionUid: session.uid,
        replicaUid: this.notifications.replica,
        source,
        facts,
        // A revision of another epoch says nothing in this one.
        acceptedRevision: sameEpoch ? hello.acceptedRevision : 0n,
        appliedRevision: sameEpoch ? hello.appliedRevision : 0n,
      });
      return { previous, cordoned: found.cordoned };
    });
  }
}
