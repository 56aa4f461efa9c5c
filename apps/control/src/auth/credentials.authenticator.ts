import { createHash, X509Certificate } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { AuditService } from '../audit/audit.service.js';
import { Ca } from '../ca/ca.js';
import { normaliseSerial } from '../ca/certificates.js';
import { CLOCK, type Clock } from '../config/clock.js';
import { Database } from '../database/database.js';
import type { Authenticator } from '../grpc/authenticator.js';
import type { Principal } from '../grpc/call-context.js';
import { IdentitiesRepository } from './identities.repository.js';
import { type OperatorToken, OperatorTokensRepository } from './operator-tokens.repository.js';
import { hashSecret, hasSecretForm, OPERATOR_TOKEN_PREFIX } from './secrets.js';

/** How long a token that was found good is not looked up again: a revoked one stops to work within this, well below 5 s. */
const REMEMBER_MS = 2_000;
const MAX_REMEMBERED = 1_000;

/** Finds operators by the hash of their token, and agents by certificate: chain (TLS), URI, pinned key and serial number. */
@Injectable()
export class OperatorAuthenticator {
  private readonly remembered = new Map<string, { readonly token: OperatorToken; readonly until: number }>();

  constructor(
    @Inject(OperatorTokensRepository) private readonly tokens: OperatorTokensRepository,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async authenticate(text: string): Promise<Extract<Principal, { kind: 'operator' }>> {
    if (!hasSecretForm(text, OPERATOR_TOKEN_PREFIX)) throw unknownToken();
    const hash = hashSecret(text);
    const key = Buffer.from(hash).toString('hex');
    const known = this.remembered.get(key);
    if (known && known.until > performance.now()) return { kind: 'operator', ...known.token };
    const token = await this.tokens.find(hash, this.clock.now());
    if (!token) throw unknownToken();
    if (this.remembered.size >= MAX_REMEMBERED) this.remembered.clear();
    this.remembered.set(key, { token, until: performance.now() + REMEMBER_MS });
    return { kind: 'operator', ...token };
  }
}

@Injectable()
export class CredentialsAuthenticator implements Authenticator {
  constructor(
    @Inject(OperatorAuthenticator) private readonly operators: OperatorAuthenticator,
    @Inject(IdentitiesRepository) private readonly identities: IdentitiesRepository,
    @Inject(Database) private readonly database: Database,
    @Inject(Ca) private readonly ca: Ca,
    @Inject(AuditService) private readonly audit: AuditService,
  ) {}

  operator(token: string): Promise<Extract<Principal, { kind: 'operator' }>> {
    return this.operators.authenticate(token);
  }

  async agent(certificate: PeerCertificate): Promise<Extract<Principal, { kind: 'agent' }>> {
    const gatewayUid = gatewayUidOf(certificate, this.ca.installation.uid);
    if (gatewayUid === undefined) throw refused('this certificate is not one of a gateway of this installation');
    const serial = normaliseSerial(certificate.serialNumber);
    const spki = publicKeyHash(certificate);
    const known = await this.database.run((tx) => this.identities.recognise(tx, gatewayUid, { serial, spki }));
    if (!known) throw refused('this certificate is no longer good (revoked, replaced, or the gateway was deleted); join again');
    return { kind: 'agent', gatewayUid, gateway: known.gateway, serial };
  }

  denied(call: { readonly method: string; readonly source: string; readonly requestId: string; readonly reason: string }): void {
    this.audit.refused({
      actor: 'anonymous',
      source: call.source,
      requestId: call.requestId,
      method: call.method,
      resource: '',
      result: `DENIED ${call.reason}`,
    });
  }
}

/** The gateway in the certificate's only name, `URI:gwctl://INSTALLATION/gateway/UID`; anything beside or different is refused. */
export function gatewayUidOf(
  certificate: Pick<PeerCertificate, 'subjectaltname' | 'ext_key_usage'>,
  installation: string,
): string | undefined {
  // 1.3.6.1.5.5.7.3.2 is clientAuth: a server certificate of ours is no agent's.
  if (!certificate.ext_key_usage?.includes('1.3.6.1.5.5.7.3.2')) return undefined;
  const match = /^URI:gwctl:\/\/([0-9a-f-]{36})\/gateway\/([0-9a-f-]{36})$/.exec(certificate.subjectaltname ?? '');
  return match?.[1] === installation ? match[2] : undefined;
}

/** `pubkey` of a peer certificate is the bare point for EC keys, so the SubjectPublicKeyInfo is taken from the certificate itself. */
function publicKeyHash(certificate: PeerCertificate): Uint8Array {
  const { publicKey } = new X509Certificate(certificate.raw);
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
}

const unknownToken = (): AppError =>
  new AppError({
    code: 'UNAUTHENTICATED',
    reason: 'BAD_TOKEN',
    message: 'this operator token is not known, or expired or revoked; run "gwctl login" with a good one',
  });
const refused = (message: string): AppError => new AppError({ code: 'PERMISSION_DENIED', reason: 'BAD_IDENTITY', message });
