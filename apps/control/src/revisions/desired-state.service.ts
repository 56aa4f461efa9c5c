import { entryHash } from '@gwctl/shared/hash/entry-hash';
import { Inject, Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';
import { Notifications } from '../database/notifications.js';
import type { Claims } from '../placement/claims.js';
import { placementDifference } from '../placement/difference.js';
import { ClaimsRepository } from './claims.repository.js';
import { RevisionTimes } from './revision-times.js';
import { type Entry, type RaisedRevision, RevisionsRepository } from './revisions.repository.js';

/** An entry as gateways are to be told of it. */
export interface PlacedEntry extends Entry {
  /** The encoded entry: a DesiredForward, a DesiredEgress or GatewaySettings. */
  readonly desired: Uint8Array;
  readonly claims: Claims;
  /** The gateways that are to carry it; empty: none any more. */
  readonly gatewayUids: readonly string[];
}

/** Brings entries onto their gateways' desired states, and wakes whoever tells the gateways. */
@Injectable()
export class DesiredStateService {
  constructor(
    @Inject(RevisionsRepository) private readonly revisions: RevisionsRepository,
    @Inject(ClaimsRepository) private readonly claims: ClaimsRepository,
    @Inject(RevisionTimes) private readonly times: RevisionTimes,
    @Inject(Notifications) private readonly notifications: Notifications,
  ) {}

  /** Inside the transaction of the change. Answers with the revisions that carry it; none where nothing differs. */
  async place(tx: Tx, entry: PlacedEntry): Promise<readonly RaisedRevision[]> {
    const standing = await this.revisions.standing(tx, entry);
    const hash = entryHash(entry.uid, entry.desired);
    const wanted = entry.gatewayUids.map((gatewayUid) => ({ gatewayUid, desired: entry.desired, hash }));
    const changes = placementDifference(standing, wanted);
    const raised = await this.revisions.raise(tx, entry, changes);
    await this.claims.take(tx, entry.uid, entry.claims, changes);
    return raised;
  }

  /** Right after the commit: sessions of these gateways push now, watchers look. */
  committed(entryUid: string, raised: readonly RaisedRevision[]): void {
    const at = performance.now();
    for (const { gatewayUid, revision } of raised) this.times.committed(gatewayUid, revision, at);
    this.notifications.publish([
      ...raised.map(({ gatewayUid }) => ({ topic: 'desired' as const, uid: gatewayUid })),
      { topic: 'entry', uid: entryUid },
    ]);
  }

  /** Lets the gateway's agent take what this revision removes; answers whether it is the present one. */
  allowMassRemoval(tx: Tx, gatewayUid: string, revision: bigint): Promise<boolean> {
    return this.revisions.allowMassRemoval(tx, gatewayUid, revision);
  }

  /** A port of the pool that is free for these claims, and stays so until the transaction ends. */
  freePort(tx: Tx, gatewayUid: string, claims: Claims, except: string): Promise<number | undefined> {
    return this.claims.freePort(tx, gatewayUid, claims, except);
  }

  /** The forward or egress that has something which one of these claims overlaps. */
  holder(tx: Tx, gatewayUid: string, claims: Claims, except: string): Promise<string | undefined> {
    return this.claims.holder(tx, gatewayUid, claims, except);
  }
}
