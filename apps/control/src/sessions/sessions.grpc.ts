import { randomUUID } from 'node:crypto';
import {
  type Accepted,
  type Applied,
  type Hello,
  type SessionRequest,
  SessionService,
} from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import type { CallContext } from '../grpc/call-context.js';
import { GrpcRegistry } from '../grpc/registry.js';
import { type BidiCall, failed } from '../grpc/service.js';
import { AgentReports } from './agent-reports.js';
import { DesiredFeed } from './desired-feed.js';
import { Session } from './session.js';
import { SessionOpener } from './session-opener.js';
import { SessionRegistry } from './session-registry.js';

/** A stream whose agent does not say who it is within this time ends. */
const HELLO_TIMEOUT_MS = 10_000;

type Call = BidiCall<typeof SessionService.method.session>;

/** gwctl.agent.v1.SessionService: one stream per gateway. */
@Injectable()
export class SessionsGrpc {
  constructor(
    @Inject(GrpcRegistry) registry: GrpcRegistry,
    @Inject(SessionRegistry) private readonly sessions: SessionRegistry,
    @Inject(SessionOpener) private readonly opener: SessionOpener,
    @Inject(DesiredFeed) private readonly feed: DesiredFeed,
    @Inject(AgentReports) private readonly reports: AgentReports,
  ) {
    registry.add({ descriptor: SessionService, implementation: { session: (call, context) => this.session(call, context) } });
  }

  private session(call: Call, context: CallContext): void {
    let session: Session | undefined;
    let over = false;
    const finish = (error: AppError | undefined): void => {
      if (over) return;
      over = true;
      clearTimeout(greeting);
      if (error) call.emit('error', failed(error, context));
      else if (!context.signal.aborted) call.end();
    };
    const greeting = setTimeout(
      () =>
        finish(
          new AppError({
            code: 'DEADLINE_EXCEEDED',
            reason: 'NO_HELLO',
            message: `no Hello within ${HELLO_TIMEOUT_MS / 1000} s`,
          }),
        ),
      HELLO_TIMEOUT_MS,
    );
    const onEnd = (error: AppError | undefined): void => (session ? session.end(error) : finish(error));
    call.on('error', () => onEnd(undefined));
    call.on('cancelled', () => onEnd(undefined));
    call.on('end', () => onEnd(undefined));
    call.on('data', (request: SessionRequest) => {
      if (over) return;
      if (session) return session.receive(request.message);
      clearTimeout(greeting);
      // Nothing more is read until the session stands; the transport holds the agent back.
      call.pause();
      this.open(call, context, request.message, finish).then(
        (opened) => {
          session = opened;
          if (over) opened.end(undefined);
          else call.resume();
        },
        (failure: unknown) => finish(AppError.from(failure)),
      );
    });
  }

  private async open(
    call: Call,
    context: CallContext,
    first: SessionRequest['message'],
    finish: (error: AppError | undefined) => void,
  ): Promise<Session> {
    const { principal } = context;
    if (principal.kind !== 'agent')
      throw new AppError({ code: 'PERMISSION_DENIED', reason: 'AGENTS_ONLY', message: 'this method is for agents' });
    if (first.case !== 'hello')
      throw new AppError({ code: 'INVALID_ARGUMENT', reason: 'NO_HELLO', message: 'the first message must be Hello' });
    const hello: Hello = first.value;
    this.opener.checkIdentity(hello, principal, context);
    this.sessions.admit(principal.gatewayUid);
    const { gatewayUid, gateway, serial } = principal;
    const session = new Session({
      uid: randomUUID(),
      agent: { gatewayUid, gateway, serial, source: context.source },
      feed: this.feed,
      logger: context.logger,
      write: (message, written) => void call.write(message, written),
      events: {
        onAccepted: (s: Session, accepted: Accepted) => this.reports.accepted(s, accepted),
        onApplied: (s: Session, applied: Applied) => this.reports.applied(s, applied),
        onReport: (s: Session, message) => this.reports.report(s, message),
        onEnd: (s: Session, error) => {
          this.sessions.ended(s, error);
          finish(error);
        },
      },
    });
    try {
      await this.opener.open(session, hello, context, (opened) => this.sessions.add(opened));
    } catch (failure) {
      session.end(AppError.from(failure));
      throw failure;
    }
    return session;
  }
}
