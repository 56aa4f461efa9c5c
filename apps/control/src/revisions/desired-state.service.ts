import { entryHash } from '@gwctl/shared/hash/entry-hash';
import { Inject, Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';
import { Notifications } from '../database/notifications.js';
import type { ListenerClaim } from '../placement/claims.js';
import { placementDifference } from '../placement/difference.js';
import { RevisionTimes } from './revision-times.js';
import { type RaisedRevision, RevisionsRepository } from './revisions.repository.js';

/** A forward as gateways are to be told of it. */
export interface PlacedForward {
  readonly uid: string;
  readonly generation: bigint;
  /** An encoded DesiredForward. */
  readonly desired: Uint8Array;
  readonly claims: readonly ListenerClaim[];
  /** The gateways that are to carry it; empty: none any more. */
  readonly gatewayUids: readonly string[];
}

/** Brings a forward onto its gateways' desired states, and wakes whoever tells the gateways. */
@Injectable()
export class DesiredStateService {
  constructor(
    @Inject(RevisionsRepository) private readonly revisions: RevisionsRepository,
    @Inject(RevisionTimes) private readonly times: RevisionTimes,
    @Inject(Notifications) private readonly notifications: Notifications,
  ) {}

  /** Inside the transaction of the change. Answers with the revisions that carry it; none where nothing differs. */
  async place(tx: Tx, forward: PlacedForward): Promise<readonly RaisedRevision[]> {
    const standing = await this.revisions.standing(tx, forward.uid);
    const hash = entryHash(forward.uid, forward.desired);
    const wanted = forward.gatewayUids.map((gatewayUid) => ({ gatewayUid, desired: forward.desired, hash }));
    return this.revisions.raise(tx, forward, placementDifference(standing, wanted));
  }

  /** Right after the commit: sessions of these gateways push now, watchers look. */
  committed(forwardUid: string, raised: readonly RaisedRevision[]): void {
    const at = performance.now();
    for (const { gatewayUid, revision } of raised) this.times.committed(gatewayUid, revision, at);
    this.notifications.publish([
      ...raised.map(({ gatewayUid }) => ({ topic: 'desired' as const, uid: gatewayUid })),
      { topic: 'forward', uid: forwardUid },
    ]);
  }

  /** The forward whose listener one of these claims overlaps. */
  holder(tx: Tx, gatewayUid: string, claims: readonly ListenerClaim[], except: string): Promise<string | undefined> {
    return this.revisions.holder(tx, gatewayUid, claims, except);
  }
}
