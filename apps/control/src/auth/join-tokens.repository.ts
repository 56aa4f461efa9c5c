import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';

@Injectable()
export class JoinTokensRepository {
  /** Stores a token's hash. Answers with the time it expires, by the database's clock. */
  async create(
    tx: Tx,
    token: {
      readonly hash: Uint8Array<ArrayBuffer>;
      readonly gatewayUid: string;
      readonly ttlSeconds: number;
      readonly sourceCidr: string | undefined;
    },
  ): Promise<Date> {
    const rows = await tx.$queryRaw<{ expire_time: Date }[]>`
      INSERT INTO join_tokens (hash, gateway_uid, source_cidr, expire_time)
      VALUES (${token.hash}, ${token.gatewayUid}::uuid, ${token.sourceCidr ?? null}::cidr, now() + make_interval(secs => ${token.ttlSeconds}::int))
      RETURNING expire_time`;
    const [row] = rows;
    if (!row) throw new Error('a join token was not stored');
    return row.expire_time;
  }

  /**
   * Uses up a token, whichever of many comes first: the row lock of the update decides, and the others then see it used. Answers
   * with the gateway that it is for; undefined for an unknown, expired or used one, or one that must come from elsewhere.
   */
  async consume(
    tx: Tx,
    hash: Uint8Array<ArrayBuffer>,
    source: string,
  ): Promise<{ gatewayUid: string; gateway: string } | undefined> {
    const rows = await tx.$queryRaw<{ gateway_uid: string; name: string }[]>`
      UPDATE join_tokens t SET use_time = now()
        FROM gateways g
       WHERE t.hash = ${hash} AND t.use_time IS NULL AND t.expire_time > now()
         AND (t.source_cidr IS NULL OR ${source}::inet <<= t.source_cidr)
         AND g.uid = t.gateway_uid
      RETURNING t.gateway_uid::text, g.name`;
    const [row] = rows;
    return row && { gatewayUid: row.gateway_uid, gateway: row.name };
  }

  /** Forgets tokens that can no longer be used, a day after they expired. */
  async removeOld(tx: Tx): Promise<number> {
    return tx.$executeRaw`DELETE FROM join_tokens WHERE expire_time < now() - interval '1 day'`;
  }
}
