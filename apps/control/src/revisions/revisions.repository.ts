import { AppError } from '@gwctl/shared/errors/app-error';
import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';
import { Prisma } from '../database/generated/client.js';
import type { PlacementChange, StandingPlacement } from '../placement/difference.js';
import { type DesiredEntry, type DesiredVersion, digestAfter, type EntryKind, type LoggedChange } from './revisions-core.js';

/** The revision at which a change is in a gateway's desired state. */
export interface RaisedRevision {
  readonly gatewayUid: string;
  readonly gateway: string;
  readonly revision: bigint;
}

/** Something that gateways are told of. The settings of a gateway are an entry with its uid. */
export interface Entry {
  readonly uid: string;
  readonly kind: EntryKind;
  readonly generation: bigint;
}

/** A whole desired state. */
export interface WholeState {
  readonly version: DesiredVersion;
  readonly entries: readonly DesiredEntry[];
  /** An operator asked for what this revision removes. */
  readonly allowMassRemoval: boolean;
}

const bytes = (data: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(data);

/** Placements, the counter row and the change log of each gateway: what turns one revision into the next. */
@Injectable()
export class RevisionsRepository {
  /** Where an entry stands now. */
  async standing(tx: Tx, { uid, kind }: Pick<Entry, 'uid' | 'kind'>): Promise<readonly StandingPlacement[]> {
    // By the column that has an index for this kind.
    const where =
      kind === 'forward' ? { forwardUid: uid } : kind === 'egress' ? { egressUid: uid } : { gatewayUid: uid, entryUid: uid };
    return tx.placement.findMany({ where, select: { gatewayUid: true, hash: true } });
  }

  /**
   * Puts placement changes of one entry into effect. Takes the counter rows in id order (writers on the same gateways queue here
   * instead of deadlocking), then raises revisions, appends to the change log and writes the placements in one statement: what a
   * gateway is told and the revision under which it is told are one fact.
   */
  async raise(tx: Tx, { uid, kind, generation }: Entry, changes: readonly PlacementChange[]): Promise<readonly RaisedRevision[]> {
    if (changes.length === 0) return [];
    const [forwardUid, egressUid] = [kind === 'forward' ? uid : null, kind === 'egress' ? uid : null];
    const ids = Prisma.join(changes.map((c) => Prisma.sql`${c.gatewayUid}::uuid`));
    const locked = await tx.$queryRaw<{ gateway_uid: string; digest: Uint8Array }[]>`
      SELECT gateway_uid::text, digest FROM desired_states WHERE gateway_uid IN (${ids}) ORDER BY gateway_uid FOR UPDATE`;
    const digests = new Map(locked.map((row) => [row.gateway_uid, row.digest]));
    const input = changes.map((change) => {
      const digest = digests.get(change.gatewayUid);
      if (!digest) throw gatewayGone();
      const [desired, hash] = change.kind === 'upsert' ? [bytes(change.desired), bytes(change.hash)] : [null, null];
      return Prisma.sql`(${change.gatewayUid}::uuid, ${desired}::bytea, ${hash}::bytea, ${bytes(digestAfter(digest, change))}::bytea, ${added(change)}::int)`;
    });
    const raised = await tx.$queryRaw<{ gateway_uid: string; name: string; revision: bigint }[]>`
      WITH input (gateway_uid, desired, hash, digest, added) AS (VALUES ${Prisma.join(input)}),
      raised AS (
        UPDATE desired_states d SET revision = d.revision + 1, digest = i.digest, entries = d.entries + i.added,
               forwards = d.forwards + CASE WHEN ${kind} = 'forward' THEN i.added ELSE 0 END
          FROM input i WHERE d.gateway_uid = i.gateway_uid
        RETURNING d.gateway_uid, d.revision
      ),
      logged AS (
        INSERT INTO changes (gateway_uid, revision, entry_uid, kind, desired, digest)
        SELECT r.gateway_uid, r.revision, ${uid}::uuid, ${kind}, i.desired, i.digest FROM raised r JOIN input i USING (gateway_uid)
      ),
      placed AS (
        INSERT INTO placements (gateway_uid, forward_uid, egress_uid, generation, desired, hash, revision)
        SELECT r.gateway_uid, ${forwardUid}::uuid, ${egressUid}::uuid, ${generation}::bigint, i.desired, i.hash, r.revision
          FROM raised r JOIN input i USING (gateway_uid) WHERE i.desired IS NOT NULL
        ON CONFLICT (gateway_uid, entry_uid) DO UPDATE
          SET generation = excluded.generation, desired = excluded.desired, hash = excluded.hash, revision = excluded.revision
      ),
      removed AS (
        DELETE FROM placements p USING input i
         WHERE i.desired IS NULL AND p.gateway_uid = i.gateway_uid AND p.entry_uid = ${uid}::uuid
      )
      SELECT r.gateway_uid::text, g.name, r.revision FROM raised r JOIN gateways g ON g.uid = r.gateway_uid ORDER BY g.name`;
    return raised.map((row) => ({ gatewayUid: row.gateway_uid, gateway: row.name, revision: row.revision }));
  }

  /** The gateway's desired state in short. */
  async current(tx: Tx, gatewayUid: string): Promise<DesiredVersion | undefined> {
    const row = await tx.desiredState.findUnique({ where: { gatewayUid } });
    return row ? { epoch: row.epoch, revision: row.revision, digest: row.digest } : undefined;
  }

  /** The digest that the log recorded for a revision; undefined where it does not reach back so far. */
  async recordedDigest(tx: Tx, gatewayUid: string, revision: bigint): Promise<Uint8Array | undefined> {
    const row = await tx.change.findFirst({ where: { gatewayUid, revision }, select: { digest: true } });
    return row?.digest;
  }

  /** Log rows after a revision, whole revisions in order, at most about `limit` rows. */
  async changesAfter(tx: Tx, gatewayUid: string, after: bigint, limit: number): Promise<readonly LoggedChange[]> {
    const rows = await tx.change.findMany({
      where: { gatewayUid, revision: { gt: after } },
      orderBy: [{ revision: 'asc' }, { entryUid: 'asc' }],
      take: limit,
      select: { revision: true, entryUid: true, kind: true, desired: true, digest: true },
    });
    // The limit may have cut the last revision; it comes whole with the next question.
    const last = rows.at(-1)?.revision;
    const whole = rows.length < limit || rows[0]?.revision === last ? rows : rows.filter((row) => row.revision !== last);
    return whole.map((row) => ({ ...row, kind: row.kind as EntryKind, desired: row.desired ?? undefined }));
  }

  /** The whole desired state, read in one statement: entries and revision belong together. */
  async snapshot(tx: Tx, gatewayUid: string): Promise<WholeState | undefined> {
    const rows = await tx.$queryRaw<
      {
        epoch: string;
        revision: bigint;
        digest: Uint8Array;
        allowed: boolean;
        entry_uid: string | null;
        kind: EntryKind | null;
        desired: Uint8Array | null;
      }[]
    >`
      SELECT d.epoch::text, d.revision, d.digest, d.mass_removal_revision IS NOT DISTINCT FROM d.revision AS allowed, p.entry_uid::text, p.kind, p.desired
        FROM desired_states d LEFT JOIN placements p ON p.gateway_uid = d.gateway_uid
       WHERE d.gateway_uid = ${gatewayUid}::uuid ORDER BY p.entry_uid`;
    const [first] = rows;
    if (!first) return undefined;
    const entries = rows.flatMap((r) =>
      r.entry_uid !== null && r.kind && r.desired ? [{ uid: r.entry_uid, kind: r.kind, desired: r.desired }] : [],
    );
    const version = { epoch: first.epoch, revision: first.revision, digest: first.digest };
    return { version, entries, allowMassRemoval: first.allowed };
  }

  /** Lets the agent remove as much as this revision does; answers whether the gateway is at that revision. */
  async allowMassRemoval(tx: Tx, gatewayUid: string, revision: bigint): Promise<boolean> {
    const { count } = await tx.desiredState.updateMany({
      where: { gatewayUid, revision },
      data: { massRemovalRevision: revision },
    });
    return count > 0;
  }

  /** Whether the gateway is to take no changes. */
  async cordoned(tx: Tx, gatewayUid: string): Promise<boolean> {
    return (await tx.gateway.findUnique({ where: { uid: gatewayUid }, select: { cordoned: true } }))?.cordoned ?? false;
  }

  /** Gives one gateway a new epoch: whatever its agent holds counts no more. */
  async renewEpoch(tx: Tx, gatewayUid: string, epoch: string): Promise<void> {
    await tx.desiredState.update({ where: { gatewayUid }, data: { epoch } });
  }

  /** Forgets log rows beyond the age and the number that are kept; agents that were away longer get a snapshot. */
  async prune(tx: Tx, keep: { readonly hours: number; readonly rows: number }): Promise<number> {
    return tx.$executeRaw`
      DELETE FROM changes WHERE create_time < now() - make_interval(hours => ${keep.hours}::int)
         OR create_time < (SELECT create_time FROM changes ORDER BY create_time DESC OFFSET ${keep.rows - 1}::int LIMIT 1)`;
  }
}

const added = (change: PlacementChange): number => (change.kind === 'remove' ? -1 : change.replaces ? 0 : 1);

const gatewayGone = (): AppError =>
  new AppError({ code: 'NOT_FOUND', reason: 'GATEWAY_NOT_FOUND', message: 'the gateway was deleted meanwhile' });
