import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { AuditRepository } from '../audit/audit.repository.js';
import { Database } from '../database/database.js';
import { RevisionsRepository } from '../revisions/revisions.repository.js';
import {
  type DesiredVersion,
  decideStart,
  type FoldedChange,
  foldChanges,
  type LoggedChange,
  type Start,
} from '../revisions/revisions-core.js';

/** Log rows that one change message may fold; with desired entries of a few hundred bytes it stays far below 1 MiB. */
const MAX_ROWS = 500;
/** Beyond this the fold is cut: one entry is at most some 40 KiB (1,024 sources, 64 targets). */
const MAX_CHANGE_BYTES = 512 * 1024;

export type Next =
  | { readonly kind: 'change'; readonly change: FoldedChange }
  | { readonly kind: 'nothing' }
  /** The log does not reach back to the cursor any more. */
  | { readonly kind: 'gap' };

/** Reads what a session has to tell its agent. */
@Injectable()
export class DesiredFeed {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(RevisionsRepository) private readonly revisions: RevisionsRepository,
    @Inject(AuditRepository) private readonly audit: AuditRepository,
  ) {}

  /** How the session starts, and the epoch that it speaks of. Undefined: the gateway was deleted. */
  async start(
    gateway: { readonly uid: string; readonly name: string; readonly source: string },
    held: DesiredVersion,
  ): Promise<{ readonly start: Start; readonly epoch: string } | undefined> {
    const found = await this.database.run(async (tx) => {
      const current = await this.revisions.current(tx, gateway.uid);
      if (!current) return undefined;
      const sameEpoch = held.epoch === current.epoch;
      const recorded =
        sameEpoch && held.revision < current.revision
          ? await this.revisions.recordedDigest(tx, gateway.uid, held.revision)
          : undefined;
      return { current, recorded };
    });
    if (!found) return undefined;
    const start = decideStart(held, found.current, found.recorded);
    if (start.kind !== 'new-epoch') return { start, epoch: found.current.epoch };
    const epoch = randomUUID();
    await this.database.transaction(async (tx) => {
      await this.revisions.renewEpoch(tx, gateway.uid, epoch);
      await this.audit.append(tx, {
        actor: `agent:${gateway.name}`,
        source: gateway.source,
        requestId: randomUUID(),
        method: 'NewEpoch',
        resource: `gateway/${gateway.name}`,
        before: { epoch: held.epoch, revision: Number(found.current.revision), agentRevision: Number(held.revision) },
        after: { epoch },
        result: 'OK',
      });
    });
    return { start: { kind: 'snapshot' }, epoch };
  }

  snapshot(gatewayUid: string) {
    return this.database.run((tx) => this.revisions.snapshot(tx, gatewayUid));
  }

  /** What comes after `cursor`. @param known A revision that certainly exists: where the log has nothing up to it, there is a gap. */
  async next(gatewayUid: string, cursor: bigint, known: bigint): Promise<Next> {
    const rows = await this.database.run((tx) => this.revisions.changesAfter(tx, gatewayUid, cursor, MAX_ROWS));
    if (rows.length === 0) return { kind: known > cursor ? 'gap' : 'nothing' };
    // Asked after the changes were read: one that was committed after the gateway was cordoned is not told.
    if (await this.database.run((tx) => this.revisions.cordoned(tx, gatewayUid))) return { kind: 'nothing' };
    const change = foldChanges(cursor, takeBytes(rows, MAX_CHANGE_BYTES));
    return change ? { kind: 'change', change } : { kind: 'gap' };
  }
}

/** The first rows that together stay below the limit; one at least. */
function takeBytes(rows: readonly LoggedChange[], limit: number): readonly LoggedChange[] {
  let size = 0;
  for (const [i, row] of rows.entries()) {
    size += row.desired?.length ?? 0;
    if (size > limit && i > 0) return rows.slice(0, i);
  }
  return rows;
}
