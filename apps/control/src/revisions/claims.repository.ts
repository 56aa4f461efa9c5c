import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';
import { Prisma } from '../database/generated/client.js';
import type { Claims } from '../placement/claims.js';
import type { PlacementChange } from '../placement/difference.js';
import { POOL } from '../placement/pool.js';

/** What entries claim of gateways for themselves alone. Exclusion constraints refuse what another entry has (SQLSTATE 23P01). */
@Injectable()
export class ClaimsRepository {
  /** Takes the claims of one entry on every gateway that it came to or changed on; what it claimed there before is given back. */
  async take(tx: Tx, entryUid: string, claims: Claims, changes: readonly PlacementChange[]): Promise<void> {
    const upserts = changes.filter((change) => change.kind === 'upsert');
    const again = upserts.filter((change) => change.replaces !== undefined).map(({ gatewayUid }) => gatewayUid);
    const listeners = upserts.flatMap(({ gatewayUid }) =>
      claims.listeners.map(
        (c) =>
          Prisma.sql`(${gatewayUid}::uuid, ${entryUid}::uuid, ${c.transport}, ${c.family}::smallint, ${c.address}::inet, int4range(${c.ports.first}::int, ${c.ports.last}::int, '[]'))`,
      ),
    );
    if (listeners.length > 0) {
      if (again.length > 0)
        await tx.$executeRaw`DELETE FROM listeners WHERE forward_uid = ${entryUid}::uuid AND gateway_uid = ANY (${again}::uuid[])`;
      await tx.$executeRaw`
        INSERT INTO listeners (gateway_uid, forward_uid, transport, family, address, ports) VALUES ${Prisma.join(listeners)}`;
    }
    const sources = upserts.flatMap(({ gatewayUid }) =>
      claims.sources.map(
        (c, i) => Prisma.sql`(${gatewayUid}::uuid, ${entryUid}::uuid, ${i}::smallint, ${c.outInterface}, ${c.source}::inet)`,
      ),
    );
    if (sources.length > 0) {
      if (again.length > 0)
        await tx.$executeRaw`DELETE FROM egress_sources WHERE egress_uid = ${entryUid}::uuid AND gateway_uid = ANY (${again}::uuid[])`;
      await tx.$executeRaw`
        INSERT INTO egress_sources (gateway_uid, egress_uid, position, out_interface, source) VALUES ${Prisma.join(sources)}`;
    }
  }

  /**
   * The lowest port of the pool that no other entry has of what these claims ask for. It takes the gateway's counter row, so nobody
   * else takes the port before this transaction ends.
   */
  async freePort(tx: Tx, gatewayUid: string, { listeners }: Claims, except: string): Promise<number | undefined> {
    await tx.$executeRaw`SELECT FROM desired_states WHERE gateway_uid = ${gatewayUid}::uuid FOR UPDATE`;
    const taken = listeners.map(
      (c) => Prisma.sql`(l.transport = ${c.transport} AND l.address && ${c.address}::inet AND l.ports @> pool.port)`,
    );
    const [row] = await tx.$queryRaw<{ port: number }[]>`
      SELECT pool.port FROM generate_series(${POOL.first}::int, ${POOL.last}::int) AS pool (port)
       WHERE NOT EXISTS (
         SELECT FROM listeners l
          WHERE l.gateway_uid = ${gatewayUid}::uuid AND l.forward_uid <> ${except}::uuid AND (${Prisma.join(taken, ' OR ')}))
       ORDER BY pool.port LIMIT 1`;
    return row?.port;
  }

  /** The name of the forward or egress, other than `except`, that has something which one of these claims overlaps. */
  async holder(tx: Tx, gatewayUid: string, claims: Claims, except: string): Promise<string | undefined> {
    for (const c of claims.listeners) {
      const [row] = await tx.$queryRaw<{ name: string }[]>`
        SELECT f.name FROM listeners l JOIN forwards f ON f.uid = l.forward_uid
         WHERE l.gateway_uid = ${gatewayUid}::uuid AND l.transport = ${c.transport} AND l.address && ${c.address}::inet
           AND l.ports && int4range(${c.ports.first}::int, ${c.ports.last}::int, '[]') AND l.forward_uid <> ${except}::uuid
         ORDER BY f.name LIMIT 1`;
      if (row) return row.name;
    }
    for (const c of claims.sources) {
      const [row] = await tx.$queryRaw<{ name: string }[]>`
        SELECT e.name FROM egress_sources s JOIN egresses e ON e.uid = s.egress_uid
         WHERE s.gateway_uid = ${gatewayUid}::uuid AND s.out_interface = ${c.outInterface} AND s.source && ${c.source}::inet
           AND s.egress_uid <> ${except}::uuid
         ORDER BY e.name LIMIT 1`;
      if (row) return row.name;
    }
    return undefined;
  }
}
