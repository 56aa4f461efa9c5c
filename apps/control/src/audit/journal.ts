import { Inject, Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';
import { actorOf, type CallContext } from '../grpc/call-context.js';
import { AuditRepository } from './audit.repository.js';
import { RequestIdsRepository } from './request-ids.repository.js';

/** What every change writes beside itself, in its own transaction: who did it, and that it was done under this request id. */
@Injectable()
export class Journal {
  constructor(
    @Inject(AuditRepository) private readonly audit: AuditRepository,
    @Inject(RequestIdsRepository) private readonly requestIds: RequestIdsRepository,
  ) {}

  /** The uid that an earlier call with the same id made, where there was one; an empty id never repeats. */
  async repeated(
    tx: Tx,
    context: CallContext,
    request: { readonly requestId: string; readonly content: Uint8Array; readonly resourceUid: string },
  ): Promise<string | undefined> {
    if (request.requestId === '') return undefined;
    const { requestId, content } = request;
    return this.requestIds.claim(
      tx,
      { actor: actorOf(context.principal), method: context.method, requestId, content },
      request.resourceUid,
    );
  }

  async record(
    tx: Tx,
    context: CallContext,
    change: { readonly resource: string; readonly before?: unknown; readonly after?: unknown },
  ): Promise<void> {
    await this.audit.appendCall(tx, context, change);
  }
}
