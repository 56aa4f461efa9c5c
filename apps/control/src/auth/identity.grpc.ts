import { IdentityService, type RenewRequest } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { Ca } from '../ca/ca.js';
import { Database } from '../database/database.js';
import type { CallContext } from '../grpc/call-context.js';
import { GrpcRegistry } from '../grpc/registry.js';
import { EnrolmentsRepository } from './enrolments.repository.js';

/** Renewal of an agent's certificate, for the gateway that the presented one speaks for and no other. */
@Injectable()
export class IdentityGrpc {
  constructor(
    @Inject(GrpcRegistry) registry: GrpcRegistry,
    @Inject(Database) private readonly database: Database,
    @Inject(EnrolmentsRepository) private readonly enrolments: EnrolmentsRepository,
    @Inject(Ca) private readonly ca: Ca,
  ) {
    registry.add({
      descriptor: IdentityService,
      implementation: { renew: (request, context) => this.renew(request, context) },
    });
  }

  private async renew(request: RenewRequest, context: CallContext) {
    const { principal } = context;
    if (principal.kind !== 'agent')
      throw new AppError({ code: 'PERMISSION_DENIED', reason: 'AGENTS_ONLY', message: 'this method is for agents' });
    const csr = await this.ca.checkRequest(request.csr);
    if (!csr.ok) throw AppError.invalid([{ field: 'csr', description: csr.error }]);
    const certificateChain = await this.database.transaction((tx) =>
      this.enrolments.renew(tx, { csr: csr.value, gatewayUid: principal.gatewayUid, gateway: principal.gateway, context }),
    );
    context.logger.info({ gateway: principal.gateway }, 'certificate renewed');
    return { certificateChain, caBundle: this.ca.bundle };
  }
}
