import { type EnrolRequest, EnrolService } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { parseText } from '@gwctl/shared/domain/names';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { Ca } from '../ca/ca.js';
import { Database } from '../database/database.js';
import { Notifications } from '../database/notifications.js';
import type { CallContext } from '../grpc/call-context.js';
import { GrpcRegistry } from '../grpc/registry.js';
import { EnrolmentsRepository } from './enrolments.repository.js';

/** Exchanges a join token for a certificate: the only method that needs no credentials, since the token is one. */
@Injectable()
export class EnrolGrpc {
  constructor(
    @Inject(GrpcRegistry) registry: GrpcRegistry,
    @Inject(Database) private readonly database: Database,
    @Inject(EnrolmentsRepository) private readonly enrolments: EnrolmentsRepository,
    @Inject(Ca) private readonly ca: Ca,
    @Inject(Notifications) private readonly notifications: Notifications,
  ) {
    registry.add({
      descriptor: EnrolService,
      implementation: { enrol: (request, context) => this.enrol(request, context) },
    });
  }

  private async enrol(request: EnrolRequest, context: CallContext) {
    const csr = await this.ca.checkRequest(request.csr);
    if (!csr.ok) throw AppError.invalid([{ field: 'csr', description: csr.error }]);
    for (const [field, text] of [
      ['hostname', request.hostname],
      ['agent_version', request.agentVersion],
    ] as const) {
      const checked = parseText(text);
      if (!checked.ok) throw AppError.invalid([{ field, description: checked.error }]);
    }
    // Signing happens inside: a token is used up exactly when its certificate exists and its key is pinned.
    const enrolled = await this.database.transaction((tx) =>
      this.enrolments.enrol(tx, { token: request.token, csr: csr.value, context, hostname: request.hostname }),
    );
    if (!enrolled) {
      this.enrolments.refused(context);
      throw new AppError({
        code: 'PERMISSION_DENIED',
        reason: 'BAD_JOIN_TOKEN',
        message:
          'this join token is not good: unknown, expired, used before, or used from an address that it is not for; make a new one with "gwctl gateway token NAME"',
      });
    }
    this.notifications.publish([
      { topic: 'session', uid: enrolled.gatewayUid },
      { topic: 'gateway', uid: enrolled.gatewayUid },
    ]);
    context.logger.info({ gateway: enrolled.gateway }, 'gateway enrolled');
    return {
      gateway: enrolled.gateway,
      gatewayUid: enrolled.gatewayUid,
      certificateChain: enrolled.certificatePem,
      caBundle: this.ca.bundle,
    };
  }
}
