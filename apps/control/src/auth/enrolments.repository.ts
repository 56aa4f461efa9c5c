import { Inject, Injectable } from '@nestjs/common';
import { AuditRepository } from '../audit/audit.repository.js';
import { AuditService } from '../audit/audit.service.js';
import { Ca } from '../ca/ca.js';
import type { CheckedRequest } from '../ca/certificates.js';
import type { Tx } from '../database/database.js';
import type { CallContext } from '../grpc/call-context.js';
import { IdentitiesRepository } from './identities.repository.js';
import { JoinTokensRepository } from './join-tokens.repository.js';
import { hashSecret, hasSecretForm, JOIN_TOKEN_PREFIX } from './secrets.js';

export interface Enrolled {
  readonly gateway: string;
  readonly gatewayUid: string;
  readonly certificatePem: string;
}

/** What enrolment and renewal write: token, pinned key and audit entry, together or not at all. */
@Injectable()
export class EnrolmentsRepository {
  constructor(
    @Inject(JoinTokensRepository) private readonly tokens: JoinTokensRepository,
    @Inject(IdentitiesRepository) private readonly identities: IdentitiesRepository,
    @Inject(AuditRepository) private readonly audit: AuditRepository,
    @Inject(AuditService) private readonly auditService: AuditService,
    @Inject(Ca) private readonly ca: Ca,
  ) {}

  /** Undefined for a token that is not good, for whatever reason. */
  async enrol(
    tx: Tx,
    request: { readonly token: string; readonly csr: CheckedRequest; readonly context: CallContext; readonly hostname: string },
  ): Promise<Enrolled | undefined> {
    const { token, csr, context } = request;
    if (!hasSecretForm(token, JOIN_TOKEN_PREFIX)) return undefined;
    const bound = await this.tokens.consume(tx, hashSecret(token), context.source);
    if (!bound) return undefined;
    const certificate = await this.ca.issueToAgent(bound.gatewayUid, csr.publicKey);
    await this.identities.enrol(tx, bound.gatewayUid, { serial: certificate.serial, spki: csr.spki });
    await this.audit.appendCall(tx, context, {
      resource: `gateway/${bound.gateway}`,
      after: { serial: certificate.serial, hostname: request.hostname },
    });
    return { ...bound, certificatePem: certificate.pem };
  }

  /** A new certificate for the agent that calls. */
  async renew(
    tx: Tx,
    request: {
      readonly csr: CheckedRequest;
      readonly gatewayUid: string;
      readonly gateway: string;
      readonly context: CallContext;
    },
  ): Promise<string> {
    const certificate = await this.ca.issueToAgent(request.gatewayUid, request.csr.publicKey);
    await this.identities.renew(tx, request.gatewayUid, { serial: certificate.serial, spki: request.csr.spki });
    await this.audit.appendCall(tx, request.context, {
      resource: `gateway/${request.gateway}`,
      after: { serial: certificate.serial },
    });
    return certificate.pem;
  }

  refused(context: CallContext): void {
    this.auditService.refused({
      actor: 'anonymous',
      source: context.source,
      requestId: context.requestId,
      method: context.method,
      resource: '',
      result: 'PERMISSION_DENIED BAD_JOIN_TOKEN',
    });
  }
}
