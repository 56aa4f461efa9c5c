import type { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { AuditService } from '../audit/audit.service.js';
import { CLOCK, type Clock } from '../config/clock.js';
import { EventsService } from '../events/events.service.js';
import { actorOf, type CallContext, type Principal } from '../grpc/call-context.js';
import type { Session } from './session.js';
import type { AgentFacts } from './sessions.repository.js';

/** Writes down what happens to sessions: events for operators, audit entries for what should not have happened. */
@Injectable()
export class SessionJournal {
  constructor(
    @Inject(EventsService) private readonly events: EventsService,
    @Inject(AuditService) private readonly audit: AuditService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  began(session: Session, facts: AgentFacts): void {
    session.log.info({ agentVersion: facts.agentVersion, hostname: facts.hostname }, 'session begins');
    this.record(session, 'SESSION_STARTED', `the agent connected from ${session.source} (${facts.hostname || 'unnamed host'})`);
  }

  /** A session of another start of the agent was still live: a restart, or a second host with the same identity. */
  tookOver(session: Session, from: string): void {
    const message = `the session of another start of the agent, from ${from}, was still live and ended`;
    session.log.warn({ from }, message);
    this.record(session, 'SESSION_TAKEN_OVER', message);
    this.audit.record({ ...this.entry(session), result: 'SESSION_TAKEN_OVER', before: { source: from } });
  }

  ended(session: Session, error: AppError | undefined): void {
    session.log.info({ reason: error?.reason }, 'session ends');
    this.record(session, 'SESSION_ENDED', error ? error.message : 'the agent disconnected');
    if (error?.code === 'RESOURCE_EXHAUSTED')
      this.audit.record({ ...this.entry(session), result: `${error.code} ${error.reason}` });
  }

  /** Hello named another gateway than the certificate. */
  mismatch(principal: Extract<Principal, { kind: 'agent' }>, context: CallContext): void {
    this.audit.refused({
      actor: actorOf(principal),
      source: context.source,
      requestId: context.requestId,
      method: context.method,
      resource: `gateway/${principal.gateway}`,
      result: 'ABORTED IDENTITY_MISMATCH',
    });
  }

  private entry(session: Session) {
    return {
      actor: `agent:${session.gateway}`,
      source: session.source,
      requestId: session.uid,
      method: 'Session',
      resource: `gateway/${session.gateway}`,
    };
  }

  private record(session: Session, reason: string, message: string): void {
    this.events.record({ time: new Date(this.clock.now()), gatewayUid: session.gatewayUid, reason, message });
  }
}
