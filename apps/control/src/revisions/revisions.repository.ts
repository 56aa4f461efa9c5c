import { AppError } from '@gwctl/shared/errors/app-error';
import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';
import { Prisma } from '../database/generated/client.js';
import type { ListenerClaim } from '../placement/claims.js';
import type { PlacementChange, StandingPlacement } from '../placement/difference.js';
import { type DesiredVersion, digestAfter, type LoggedChange } from './revisions-core.js';

/** The revision at which a change is in a gateway's desired state. */
export interface RaisedRevision {
  readonly gatewayUid: string;
  readonly gateway: string;
  readonly revision: bigint;
}

const bytes = (data: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(data);

/** Placements, the counter row and the change log of each gateway: what turns one revision into the next. */
@Injectable()
export class RevisionsRepository {
  /** Where a forward stands now. */
  async standing(tx: Tx, forwardUid: string): Promise<readonly StandingPlacement[]> {
    return tx.placement.findMany({ where: { forwardUid }, select: { gatewayUid: true, hash: true } });
  }

  /**
   * Puts placement changes of one forward into effect. Takes the counter rows in id order (writers on the same gateways queue here
   * instead of deadlocking), then raises revisions, appends to the change log and writes the placements in one statement: what a
   * gateway is told and the revision under which it is told are one fact.
   */
  async raise(
    tx: Tx,
    forward: { readonly uid: string; readonly generation: bigint; readonly claims: readonly ListenerClaim[] },
    changes: readonly PlacementChange[],
  ): Promise<readonly RaisedRevision[]> {
    if (changes.length === 0) return [];
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
        UPDATE desired_states d SET revision = d.revision + 1, digest = i.digest, forwards = d.forwards + i.added
          FROM input i WHERE d.gateway_uid = i.gateway_uid
        RETURNING d.gateway_uid, d.revision
      ),
      logged AS (
        INSERT INTO changes (gateway_uid, revision, forward_uid, desired, digest)
        SELECT r.gateway_uid, r.revision, ${forward.uid}::uuid, i.desired, i.digest FROM raised r JOIN input i USING (gateway_uid)
      ),
      placed AS (
        INSERT INTO placements (gateway_uid, forward_uid, generation, desired, hash, revision)
        SELECT r.gateway_uid, ${forward.uid}::uuid, ${forward.generation}::bigint, i.desired, i.hash, r.revision
          FROM raised r JOIN input i USING (gateway_uid) WHERE i.desired IS NOT NULL
        ON CONFLICT (gateway_uid, forward_uid) DO UPDATE
          SET generation = excluded.generation, desired = excluded.desired, hash = excluded.hash, revision = excluded.revision
      ),
      removed AS (
        DELETE FROM placements p USING input i
         WHERE i.desired IS NULL AND p.gateway_uid = i.gateway_uid AND p.forward_uid = ${forward.uid}::uuid
      )
      SELECT r.gateway_uid::text, g.name, r.revision FROM raised r JOIN gateways g ON g.uid = r.gateway_uid ORDER BY g.name`;
    await this.claim(tx, forward, changes);
    return raised.map((row) => ({ gatewayUid: row.gateway_uid, gateway: row.name, revision: row.revision }));
  }

  /** Takes the listeners; the exclusion constraint refuses what another forward has (SQLSTATE 23P01). */
  private async claim(
    tx: Tx,
    forward: { readonly uid: string; readonly claims: readonly ListenerClaim[] },
    changes: readonly PlacementChange[],
  ): Promise<void> {
    const rows = changes
      .filter((change) => change.kind === 'upsert')
      .flatMap((change) =>
        forward.claims.map(
          (c) =>
            Prisma.sql`(${change.gatewayUid}::uuid, ${forward.uid}::uuid, ${c.transport}, ${c.family}::smallint, ${c.address}::inet, int4range(${c.ports.first}::int, ${c.ports.last}::int, '[]'))`,
        ),
      );
    if (rows.length === 0) return;
    if (changes.some((change) => change.replaces !== undefined))
      await tx.$executeRaw`DELETE FROM listeners WHERE forward_uid = ${forward.uid}::uuid`;
    await tx.$executeRaw`
      INSERT INTO listeners (gateway_uid, forward_uid, transport, family, address, ports) VALUES ${Prisma.join(rows)}`;
  }

  /** The forward that holds a listener which one of these claims overlaps. */
  async holder(tx: Tx, gatewayUid: string, claims: readonly ListenerClaim[], except: string): Promise<string | undefined> {
    for (const c of claims) {
      const [row] = await tx.$queryRaw<{ name: string }[]>`
        SELECT f.name FROM listeners l JOIN forwards f ON f.uid = l.forward_uid
         WHERE l.gateway_uid = ${gatewayUid}::uuid AND l.transport = ${c.transport} AND l.address && ${c.address}::inet
           AND l.ports && int4range(${c.ports.first}::int, ${c.ports.last}::int, '[]') AND l.forward_uid <> ${except}::uuid
         ORDER BY f.name LIMIT 1`;
      if (row) return row.name;
    }
    return undefined;
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
      orderBy: [{ revision: 'asc' }, { forwardUid: 'asc' }],
      take: limit,
      select: { revision: true, forwardUid: true, desired: true, digest: true },
    });
    // The limit may have cut the last revision; it comes whole with the next question.
    const last = rows.at(-1)?.revision;
    const whole = rows.length < limit || rows[0]?.revision === last ? rows : rows.filter((row) => row.revision !== last);
    return whole.map((row) => ({ ...row, desired: row.desired ?? undefined }));
  }

  /** The whole desired state, read in one statement: entries and revision belong together. */
  async snapshot(
    tx: Tx,
    gatewayUid: string,
  ): Promise<
    { readonly version: DesiredVersion; readonly entries: readonly { uid: string; desired: Uint8Array }[] } | undefined
  > {
    const rows = await tx.$queryRaw<
      { epoch: string; revision: bigint; digest: Uint8Array; forward_uid: string | null; desired: Uint8Array | null }[]
    >`
      SELECT d.epoch::text, d.revision, d.digest, p.forward_uid::text, p.desired
        FROM desired_states d LEFT JOIN placements p ON p.gateway_uid = d.gateway_uid
       WHERE d.gateway_uid = ${gatewayUid}::uuid ORDER BY p.forward_uid`;
    const [first] = rows;
    if (!first) return undefined;
    const entries = rows.flatMap((r) =>
      r.forward_uid !== null && r.desired ? [{ uid: r.forward_uid, desired: r.desired }] : [],
    );
    return { version: { epoch: first.epoch, revision: first.revision, digest: first.digest }, entries };
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
