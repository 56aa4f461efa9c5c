import type { Accepted, Applied, SessionRequest } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../config/clock.js';
import { EventsService } from '../events/events.service.js';
import { RevisionTimes } from '../revisions/revision-times.js';
import { type ReportUpdate, ReportWriter } from '../status/report-writer.js';
import { newEvent, placementReports, statusUpdate } from './reports.mapper.js';
import type { Session } from './session.js';

/** Takes an agent's word to where it is kept. It can only be about the session's own gateway: the uid comes from the certificate. */
@Injectable()
export class AgentReports {
  constructor(
    @Inject(ReportWriter) private readonly writer: ReportWriter,
    @Inject(EventsService) private readonly events: EventsService,
    @Inject(RevisionTimes) private readonly times: RevisionTimes,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  accepted(session: Session, accepted: Accepted): void {
    this.keep(session, { acceptedRevision: accepted.revision });
  }

  applied(session: Session, applied: Applied): void {
    for (const { revision, sinceCommitMs } of this.times.applied(session.gatewayUid, applied.revision, performance.now()))
      session.log.debug(
        { revision: Number(revision), sinceCommitMs: Math.round(sinceCommitMs * 1000) / 1000 },
        'revision applied',
      );
    this.keep(session, {
      spoke: true,
      appliedRevision: applied.revision,
      placements: placementReports(applied.placements),
    });
  }

  report(session: Session, message: SessionRequest['message']): void {
    if (message.case === 'status') this.keep(session, statusUpdate(message.value));
    else if (message.case === 'event') this.events.record(newEvent(session.gatewayUid, message.value, this.clock.now()));
  }

  private keep(session: Session, update: ReportUpdate): void {
    const kept = this.writer.enqueue({ gatewayUid: session.gatewayUid, sessionUid: session.uid }, update);
    if (kept) return;
    session.end(
      new AppError({
        code: 'RESOURCE_EXHAUSTED',
        reason: 'TOO_MANY_REPORTS',
        message: 'this agent reports on more placements than a gateway can have',
      }),
    );
  }
}
