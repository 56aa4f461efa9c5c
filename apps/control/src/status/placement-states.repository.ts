import type { PlacementStateWord } from '@gwctl/shared/domain/status';
import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';
import { Prisma } from '../database/generated/client.js';

/** How one forward or egress stands on one gateway, as the view placement_states says. */
export interface PlacementState {
  readonly gatewayUid: string;
  readonly gateway: string;
  readonly state: PlacementStateWord;
  /** The gateway has a live session. */
  readonly connected: boolean;
  readonly generation: bigint;
  readonly revision: bigint;
  readonly observedGeneration: bigint | undefined;
  /** gwctl.agent.v1.PlacementReport as protobuf JSON. */
  readonly report: unknown;
  readonly reportTime: Date | undefined;
}

interface Row {
  uid: string;
  gateway_uid: string;
  gateway: string;
  state: PlacementStateWord;
  connected: boolean;
  generation: bigint;
  revision: bigint;
  observed_generation: bigint | null;
  report: unknown;
  report_time: Date | null;
}

/** Reads the states of placements. Their one definition is the view, so lists can filter by what single reads show. */
@Injectable()
export class PlacementStatesRepository {
  /** By forward; in the order of the gateways' names. */
  ofForwards(tx: Tx, uids: readonly string[]): Promise<ReadonlyMap<string, readonly PlacementState[]>> {
    return this.of(tx, Prisma.sql`forward_uid`, uids);
  }

  /** By egress. */
  ofEgresses(tx: Tx, uids: readonly string[]): Promise<ReadonlyMap<string, readonly PlacementState[]>> {
    return this.of(tx, Prisma.sql`egress_uid`, uids);
  }

  private async of(tx: Tx, column: Prisma.Sql, uids: readonly string[]): Promise<ReadonlyMap<string, readonly PlacementState[]>> {
    const states = new Map<string, PlacementState[]>(uids.map((uid) => [uid, []]));
    if (uids.length === 0) return states;
    const rows = await tx.$queryRaw<Row[]>`
      SELECT ${column}::text AS uid, gateway_uid::text, gateway, state, connected, generation, revision, observed_generation, report,
             report_time
        FROM placement_states WHERE ${column} = ANY(${uids as string[]}::uuid[]) ORDER BY gateway`;
    for (const row of rows)
      states.get(row.uid)?.push({
        gatewayUid: row.gateway_uid,
        gateway: row.gateway,
        state: row.state,
        connected: row.connected,
        generation: row.generation,
        revision: row.revision,
        observedGeneration: row.observed_generation ?? undefined,
        report: row.report ?? undefined,
        reportTime: row.report_time ?? undefined,
      });
    return states;
  }

  /** How many placements are in each state. */
  async counts(tx: Tx): Promise<Readonly<Record<string, number>>> {
    const rows = await tx.$queryRaw<{ state: string; count: number }[]>`
      SELECT state, count(*)::int AS count FROM placement_states GROUP BY state`;
    return Object.fromEntries(rows.map((row) => [row.state, row.count]));
  }
}

/** For lists: only forwards with a placement in this state. */
export const inState = (state: PlacementStateWord): Prisma.Sql =>
  Prisma.sql`EXISTS (SELECT FROM placement_states ps WHERE ps.forward_uid = f.uid AND ps.state = ${state})`;
