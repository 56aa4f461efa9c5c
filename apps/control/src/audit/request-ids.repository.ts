import { createHash } from 'node:crypto';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';

/** The longest id that a client may choose. */
const MAX_ID = 64;

export interface RepeatableRequest {
  readonly actor: string;
  readonly method: string;
  /** The client's own id. */
  readonly requestId: string;
  /** The encoded request without its id: the same id for something else is refused. */
  readonly content: Uint8Array;
}

/** Makes creates repeatable: the same id within 24 h answers with what the first call made. */
@Injectable()
export class RequestIdsRepository {
  /** Notes that this request makes `resourceUid`; answers with the uid that an earlier one made, where there was one. */
  async claim(tx: Tx, request: RepeatableRequest, resourceUid: string): Promise<string | undefined> {
    if (!/^[\x21-\x7e]+$/.test(request.requestId) || request.requestId.length > MAX_ID)
      throw AppError.invalid([
        { field: 'request_id', description: `must be at most ${MAX_ID} printable ASCII characters without spaces` },
      ]);
    const hash = new Uint8Array(createHash('sha256').update(request.content).digest());
    // Waits for a first call that is just committing, and then changes nothing.
    const claimed = await tx.$executeRaw`
      INSERT INTO request_ids AS r (actor, method, request_id, request_hash, resource_uid)
      VALUES (${request.actor}, ${request.method}, ${request.requestId}, ${hash}, ${resourceUid}::uuid)
      ON CONFLICT (actor, method, request_id) DO UPDATE
        SET request_hash = excluded.request_hash, resource_uid = excluded.resource_uid, create_time = now()
        WHERE r.create_time < now() - interval '24 hours'`;
    if (claimed > 0) return undefined;
    const [row] = await tx.$queryRaw<{ resource_uid: string; same: boolean }[]>`
      SELECT resource_uid::text, request_hash = ${hash} AS same FROM request_ids
       WHERE actor = ${request.actor} AND method = ${request.method} AND request_id = ${request.requestId}`;
    if (row?.same !== true)
      throw AppError.invalid([
        { field: 'request_id', description: 'was used for a different request within 24 h; choose a new one' },
      ]);
    return row.resource_uid;
  }

  /** Forgets ids after 24 h. */
  async removeOld(tx: Tx): Promise<number> {
    return tx.$executeRaw`DELETE FROM request_ids WHERE create_time < now() - interval '24 hours'`;
  }
}
