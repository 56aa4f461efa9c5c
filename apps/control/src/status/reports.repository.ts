import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';

/** What an agent said about one placement, checked and cleaned. */
export interface PlacementReportRecord {
  /** Of the forward or the egress. */
  readonly entryUid: string;
  readonly generation: bigint;
  readonly state: 'PENDING' | 'ACTIVE' | 'DEGRADED' | 'REJECTED' | 'EXPIRED' | 'DISABLED';
  /** gwctl.agent.v1.PlacementReport as protobuf JSON. */
  readonly report: unknown;
}

/** What one agent said since it was last written down. */
export interface PendingReport {
  readonly gatewayUid: string;
  /** Only the words of the session that is live now count. */
  readonly sessionUid: string;
  acceptedRevision?: bigint;
  appliedRevision?: bigint;
  driver?: string;
  capabilities?: unknown;
  conditions?: unknown;
  /** The agent spoke about its placements: what is stored of them is its present word. */
  spoke: boolean;
  /** Everything that is not among the reports is not on the gateway. */
  complete: boolean;
  readonly placements: Map<string, PlacementReportRecord>;
}

/** What a batch of reports changed. */
export interface WrittenReports {
  readonly entryUids: readonly string[];
  /** Gateways whose agent spoke about its placements for the first time in its session. */
  readonly firstSpoken: readonly string[];
}

/** Writes what agents report, for many gateways in one transaction. */
@Injectable()
export class ReportsRepository {
  async write(tx: Tx, reports: readonly PendingReport[]): Promise<WrittenReports> {
    await this.writeGateways(tx, reports);
    const forgotten = await this.forgetUnnamed(tx, reports);
    const written = await this.writePlacements(tx, reports);
    return { entryUids: [...forgotten, ...written], firstSpoken: await this.markSpoken(tx, reports) };
  }

  private async writeGateways(tx: Tx, reports: readonly PendingReport[]): Promise<void> {
    const rows = reports.map((r) => ({
      g: r.gatewayUid,
      s: r.sessionUid,
      accepted: r.acceptedRevision === undefined ? null : String(r.acceptedRevision),
      applied: r.appliedRevision === undefined ? null : String(r.appliedRevision),
      driver: r.driver ?? null,
      capabilities: r.capabilities ?? null,
      conditions: r.conditions ?? null,
    }));
    await tx.$executeRaw`
      UPDATE gateway_reports r
         SET accepted_revision = coalesce(x.accepted, r.accepted_revision), applied_revision = coalesce(x.applied, r.applied_revision),
             driver = coalesce(x.driver, r.driver), capabilities = coalesce(x.capabilities, r.capabilities),
             conditions = coalesce(x.conditions, r.conditions)
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
               AS x(g uuid, s uuid, accepted bigint, applied bigint, driver text, capabilities jsonb, conditions jsonb)
        JOIN sessions s ON s.gateway_uid = x.g AND s.session_uid = x.s
       WHERE r.gateway_uid = x.g`;
  }

  /** Reports of placements that are not on the gateway (any more), or that a later generation replaced, go nowhere. */
  private async writePlacements(tx: Tx, reports: readonly PendingReport[]): Promise<readonly string[]> {
    const rows = reports.flatMap((r) =>
      [...r.placements.values()].map((p) => ({
        g: r.gatewayUid,
        s: r.sessionUid,
        e: p.entryUid,
        generation: String(p.generation),
        state: p.state,
        report: p.report,
      })),
    );
    if (rows.length === 0) return [];
    // FOR KEY SHARE: a placement that is being deleted right now is waited for and then not there, instead of failing the batch.
    const written = await tx.$queryRaw<{ entry_uid: string }[]>`
      INSERT INTO placement_reports (gateway_uid, entry_uid, generation, state, report)
      SELECT p.gateway_uid, p.entry_uid, x.generation, x.state, x.report
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS x(g uuid, s uuid, e uuid, generation bigint, state text, report jsonb)
        JOIN sessions s ON s.gateway_uid = x.g AND s.session_uid = x.s
        JOIN placements p ON p.gateway_uid = x.g AND p.entry_uid = x.e AND x.generation <= p.generation
       ORDER BY p.gateway_uid, p.entry_uid FOR KEY SHARE OF p
      ON CONFLICT (gateway_uid, entry_uid) DO UPDATE
        SET generation = excluded.generation, state = excluded.state, report = excluded.report, report_time = now()
        WHERE placement_reports.generation <= excluded.generation
      RETURNING entry_uid::text`;
    return written.map((row) => row.entry_uid);
  }

  private async forgetUnnamed(tx: Tx, reports: readonly PendingReport[]): Promise<readonly string[]> {
    const forgotten: string[] = [];
    for (const r of reports.filter(({ complete }) => complete)) {
      const rows = await tx.$queryRaw<{ entry_uid: string }[]>`
        DELETE FROM placement_reports pr USING sessions s
         WHERE pr.gateway_uid = ${r.gatewayUid}::uuid AND s.gateway_uid = pr.gateway_uid AND s.session_uid = ${r.sessionUid}::uuid
           AND pr.entry_uid <> ALL (${[...r.placements.keys()]}::uuid[])
        RETURNING pr.entry_uid::text`;
      forgotten.push(...rows.map((row) => row.entry_uid));
    }
    return forgotten;
  }

  private async markSpoken(tx: Tx, reports: readonly PendingReport[]): Promise<readonly string[]> {
    const sessionUids = reports.filter(({ spoke }) => spoke).map(({ sessionUid }) => sessionUid);
    if (sessionUids.length === 0) return [];
    const rows = await tx.$queryRaw<{ gateway_uid: string }[]>`
      UPDATE sessions SET reported = true WHERE session_uid = ANY (${sessionUids}::uuid[]) AND NOT reported
      RETURNING gateway_uid::text`;
    return rows.map((row) => row.gateway_uid);
  }
}
