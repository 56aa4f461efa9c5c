import { randomUUID } from 'node:crypto';
import type { Tx } from '../database/database.js';
import { type Prisma } from '../database/generated/client.js';
import { actorOf, type CallContext } from '../grpc/call-context.js';

export interface AuditEntry {
  readonly actor: string;
  readonly source: string;
  readonly requestId: string;
  readonly method: string;
  /** For instance `forward/web`. */
  readonly resource: string;
  /** JSON of the resource before and after; never secrets. */
  readonly before?: unknown;
  readonly after?: unknown;
  /** `OK`, or code and reason of a refusal. */
  readonly result: string;
}

/** The trail of who changed what. Written in the transaction of the change: a change that cannot be recorded does not happen. */
export class AuditRepository {
  async append(tx: Tx, entry: AuditEntry): Promise<void> {
    await tx.auditEntry.create({
      data: {
        uid: randomUUID(),
        actor: entry.actor,
        source: entry.source,
        requestId: entry.requestId,
        method: entry.method,
        resource: entry.resource,
        result: entry.result,
        ...(entry.before === undefined ? {} : { before: entry.before as Prisma.InputJsonValue }),
        ...(entry.after === undefined ? {} : { after: entry.after as Prisma.InputJsonValue }),
      },
    });
  }

  /** An entry for a call that succeeded. */
  async appendCall(
    tx: Tx,
    context: CallContext,
    change: { readonly resource: string; readonly before?: unknown; readonly after?: unknown },
  ): Promise<void> {
    await this.append(tx, {
      actor: actorOf(context.principal),
      source: context.source,
      requestId: context.requestId,
      method: context.method,
      result: 'OK',
      ...change,
    });
  }
}
