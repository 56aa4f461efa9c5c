import { formatCidr, parseCidr } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { formatJoinString } from '@gwctl/shared/wire/join-string';
import { Inject, Injectable } from '@nestjs/common';
import { Journal } from '../audit/journal.js';
import { JoinTokensRepository } from '../auth/join-tokens.repository.js';
import { hashSecret, JOIN_TOKEN_PREFIX, newSecret } from '../auth/secrets.js';
import { Ca } from '../ca/ca.js';
import { Database } from '../database/database.js';
import type { CallContext } from '../grpc/call-context.js';
import { GatewaysRepository } from './gateways.repository.js';
import { gatewayNotFound } from './gateways.service.js';

const DEFAULT_TTL_SECONDS = 600;
const MAX_TTL_SECONDS = 3_600;

/** Makes join strings: single use, an hour at most, bound to one gateway and, where asked, to where the agent comes from. */
@Injectable()
export class JoinTokensService {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(JoinTokensRepository) private readonly tokens: JoinTokensRepository,
    @Inject(GatewaysRepository) private readonly gateways: GatewaysRepository,
    @Inject(Journal) private readonly journal: Journal,
    @Inject(Ca) private readonly ca: Ca,
  ) {}

  /** @param request.servers HOST:PORT by which the agent reaches the control plane. */
  async create(request: {
    readonly gateway: string;
    readonly ttlSeconds: number;
    readonly sourceCidr: string;
    readonly servers: readonly string[];
    readonly context: CallContext;
  }): Promise<{ readonly joinString: string; readonly expireTime: Date }> {
    const { gateway, servers, context } = request;
    if (request.ttlSeconds > MAX_TTL_SECONDS)
      throw AppError.invalid([
        {
          field: 'ttl_seconds',
          description: `${request.ttlSeconds} is too long; 1 to ${MAX_TTL_SECONDS}, or 0 for ${DEFAULT_TTL_SECONDS}`,
        },
      ]);
    const ttlSeconds = request.ttlSeconds === 0 ? DEFAULT_TTL_SECONDS : request.ttlSeconds;
    const sourceCidr = checkCidr(request.sourceCidr);
    const token = newSecret(JOIN_TOKEN_PREFIX);
    const expireTime = await this.database.transaction(async (tx) => {
      const gatewayUid = await this.gateways.findUid(tx, gateway);
      if (gatewayUid === undefined) throw gatewayNotFound(gateway);
      const expires = await this.tokens.create(tx, { hash: hashSecret(token), gatewayUid, ttlSeconds, sourceCidr });
      await this.journal.record(tx, context, {
        resource: `gateway/${gateway}`,
        after: { joinTokenExpires: expires, sourceCidr: sourceCidr ?? '' },
      });
      return expires;
    });
    return { joinString: formatJoinString({ servers, caFingerprint: this.ca.fingerprint, gateway, token }), expireTime };
  }
}

function checkCidr(text: string): string | undefined {
  if (text === '') return undefined;
  const cidr = parseCidr(text);
  if (!cidr.ok) throw AppError.invalid([{ field: 'source_cidr', description: cidr.error }]);
  return formatCidr(cidr.value);
}
