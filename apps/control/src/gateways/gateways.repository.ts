import { EMPTY_DIGEST } from '@gwctl/shared/domain/digest';
import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';
import { Prisma } from '../database/generated/client.js';

export interface GatewayRecord {
  readonly uid: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly cordoned: boolean;
  /** gwctl.v1.GatewaySettings as protobuf JSON; empty: the defaults. */
  readonly settings: unknown;
  readonly version: bigint;
  readonly createTime: Date;
  readonly updateTime: Date;
  readonly status: GatewayStatusRecord;
}

export interface GatewayStatusRecord {
  readonly connected: boolean;
  readonly connectTime: Date | undefined;
  readonly lastSeenTime: Date | undefined;
  readonly enrolled: boolean;
  readonly revision: bigint;
  readonly acceptedRevision: bigint;
  readonly appliedRevision: bigint;
  readonly agentVersion: string;
  readonly hostname: string;
  readonly kernel: string;
  readonly driver: string;
  /** Arrays of gwctl.v1.Capability and gwctl.v1.Condition as protobuf JSON. */
  readonly capabilities: unknown;
  readonly conditions: unknown;
  readonly forwards: number;
  readonly egresses: number;
}

export interface GatewayQuery {
  readonly pageSize: number;
  readonly after: string;
  readonly labels: Readonly<Record<string, string>>;
}

interface Row {
  uid: string;
  name: string;
  labels: unknown;
  cordoned: boolean;
  settings: unknown;
  version: bigint;
  create_time: Date;
  update_time: Date;
  connected: boolean;
  connect_time: Date | null;
  last_seen_time: Date | null;
  enrolled: boolean;
  revision: bigint;
  accepted_revision: bigint;
  applied_revision: bigint;
  agent_version: string;
  hostname: string;
  kernel: string;
  driver: string;
  capabilities: unknown;
  conditions: unknown;
  forwards: number;
  egresses: number;
}

/** What an update writes. */
export type GatewayContent = Pick<GatewayRecord, 'labels' | 'cordoned' | 'settings'>;

@Injectable()
export class GatewaysRepository {
  /** The gateway with its counter row and its report row: a gateway never stands without them. */
  async create(
    tx: Tx,
    made: {
      readonly uid: string;
      readonly name: string;
      readonly labels: Readonly<Record<string, string>>;
      readonly epoch: string;
    },
  ): Promise<void> {
    await tx.gateway.create({
      data: {
        uid: made.uid,
        name: made.name,
        labels: { ...made.labels },
        desired: { create: { epoch: made.epoch, digest: new Uint8Array(EMPTY_DIGEST) } },
        report: { create: {} },
      },
    });
  }

  async findUid(tx: Tx, name: string): Promise<string | undefined> {
    return (await tx.gateway.findUnique({ where: { name }, select: { uid: true } }))?.uid;
  }

  async find(tx: Tx, by: { readonly name: string } | { readonly uid: string }): Promise<GatewayRecord | undefined> {
    const where = 'name' in by ? Prisma.sql`g.name = ${by.name}` : Prisma.sql`g.uid = ${by.uid}::uuid`;
    const [row] = await this.select(tx, where, 1);
    return row;
  }

  /** One page, by name. */
  async list(tx: Tx, query: GatewayQuery): Promise<readonly GatewayRecord[]> {
    const labels =
      Object.keys(query.labels).length > 0 ? Prisma.sql`AND g.labels @> ${JSON.stringify(query.labels)}::jsonb` : Prisma.empty;
    return this.select(tx, Prisma.sql`g.name > ${query.after} ${labels}`, query.pageSize);
  }

  /** Keeps other writers of this gateway, and of its desired state, out until the transaction ends. */
  async lock(tx: Tx, name: string): Promise<GatewayRecord | undefined> {
    const [row] = await tx.$queryRaw<{ uid: string }[]>`
      SELECT g.uid::text FROM gateways g JOIN desired_states d ON d.gateway_uid = g.uid WHERE g.name = ${name} FOR UPDATE`;
    return row && this.find(tx, { uid: row.uid });
  }

  /** Writes content under the next version; answers with that version. */
  async update(tx: Tx, uid: string, { labels, cordoned, settings }: GatewayContent): Promise<bigint> {
    const { version } = await tx.gateway.update({
      where: { uid },
      data: {
        labels: { ...labels },
        cordoned,
        settings: settings as Prisma.InputJsonValue,
        version: { increment: 1 },
        updateTime: new Date(),
      },
      select: { version: true },
    });
    return version;
  }

  /** Its settings go with it; forwards and egresses keep it. */
  async delete(tx: Tx, uid: string): Promise<void> {
    await tx.placement.deleteMany({ where: { gatewayUid: uid, entryUid: uid } });
    await tx.gateway.delete({ where: { uid } });
  }

  /** Names of forwards, then of egresses, placed on it: at most `limit` of each. */
  async carriedNames(tx: Tx, uid: string, limit: number): Promise<{ readonly forwards: string[]; readonly egresses: string[] }> {
    const name = { name: true } as const;
    const forwards = await tx.forward.findMany({
      where: { placements: { some: { gatewayUid: uid } } },
      select: name,
      orderBy: { name: 'asc' },
      take: limit,
    });
    const egresses = await tx.egress.findMany({
      where: { placements: { some: { gatewayUid: uid } } },
      select: name,
      orderBy: { name: 'asc' },
      take: limit,
    });
    return { forwards: forwards.map((f) => f.name), egresses: egresses.map((e) => e.name) };
  }

  async counts(tx: Tx): Promise<{ readonly gateways: number; readonly connected: number }> {
    const [row] = await tx.$queryRaw<{ gateways: number; connected: number }[]>`
      SELECT (SELECT count(*) FROM gateways)::int AS gateways, (SELECT count(*) FROM live_sessions)::int AS connected`;
    return row ?? { gateways: 0, connected: 0 };
  }

  private async select(tx: Tx, where: Prisma.Sql, limit: number): Promise<readonly GatewayRecord[]> {
    const rows = await tx.$queryRaw<Row[]>`
      SELECT g.uid::text, g.name, g.labels, g.cordoned, g.settings, g.version, g.create_time, g.update_time,
             l.gateway_uid IS NOT NULL AS connected, l.connect_time, coalesce(s.end_time, s.heartbeat_time) AS last_seen_time,
             i.gateway_uid IS NOT NULL AS enrolled, d.revision, r.accepted_revision, r.applied_revision, r.agent_version, r.hostname,
             r.kernel, r.driver, r.capabilities, r.conditions,
             d.forwards, d.entries - d.forwards - (g.settings <> '{}')::int AS egresses
        FROM gateways g
        JOIN desired_states d ON d.gateway_uid = g.uid
        JOIN gateway_reports r ON r.gateway_uid = g.uid
        LEFT JOIN identities i ON i.gateway_uid = g.uid
        LEFT JOIN sessions s ON s.gateway_uid = g.uid
        LEFT JOIN live_sessions l ON l.gateway_uid = g.uid
       WHERE ${where} ORDER BY g.name LIMIT ${limit}::int`;
    return rows.map((row) => ({
      uid: row.uid,
      name: row.name,
      labels: row.labels as Record<string, string>,
      cordoned: row.cordoned,
      settings: row.settings,
      version: row.version,
      createTime: row.create_time,
      updateTime: row.update_time,
      status: {
        connected: row.connected,
        connectTime: row.connect_time ?? undefined,
        lastSeenTime: row.last_seen_time ?? undefined,
        enrolled: row.enrolled,
        revision: row.revision,
        acceptedRevision: row.accepted_revision,
        appliedRevision: row.applied_revision,
        agentVersion: row.agent_version,
        hostname: row.hostname,
        kernel: row.kernel,
        driver: row.driver,
        capabilities: row.capabilities,
        conditions: row.conditions,
        forwards: row.forwards,
        egresses: row.egresses,
      },
    }));
  }
}
