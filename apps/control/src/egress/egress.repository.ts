import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';
import { Prisma } from '../database/generated/client.js';

export interface EgressRecord {
  readonly uid: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** gwctl.v1.EgressSpec as protobuf JSON. */
  readonly spec: unknown;
  readonly generation: bigint;
  readonly version: bigint;
  readonly createTime: Date;
  readonly updateTime: Date;
}

/** What an update writes. */
export type EgressContent = Pick<EgressRecord, 'labels' | 'spec' | 'generation'>;

export interface EgressQuery {
  readonly pageSize: number;
  /** Names after this one. */
  readonly after: string;
  readonly gateway: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

const toRecord = (row: Omit<EgressRecord, 'labels'> & { labels: unknown }): EgressRecord => ({
  ...row,
  labels: row.labels as Record<string, string>,
});

const json = (value: unknown): Prisma.InputJsonValue => value as Prisma.InputJsonValue;

@Injectable()
export class EgressRepository {
  async create(tx: Tx, made: { readonly uid: string; readonly name: string } & EgressContent): Promise<EgressRecord> {
    const { uid, name, generation } = made;
    return toRecord(
      await tx.egress.create({ data: { uid, name, generation, labels: json(made.labels), spec: json(made.spec) } }),
    );
  }

  async find(tx: Tx, by: { readonly name: string } | { readonly uid: string }): Promise<EgressRecord | undefined> {
    const row = await tx.egress.findUnique({ where: by });
    return row ? toRecord(row) : undefined;
  }

  /** Finds it and keeps other writers out until the transaction ends. */
  async lock(tx: Tx, name: string): Promise<EgressRecord | undefined> {
    const [row] = await tx.$queryRaw<{ uid: string }[]>`SELECT uid::text FROM egresses WHERE name = ${name} FOR UPDATE`;
    return row && this.find(tx, { uid: row.uid });
  }

  /** Writes content under the next version. */
  async update(tx: Tx, uid: string, content: EgressContent): Promise<EgressRecord> {
    const data = {
      generation: content.generation,
      labels: json(content.labels),
      spec: json(content.spec),
      version: { increment: 1 },
      updateTime: new Date(),
    };
    return toRecord(await tx.egress.update({ where: { uid }, data }));
  }

  async delete(tx: Tx, uid: string): Promise<void> {
    await tx.egress.delete({ where: { uid } });
  }

  /** One page, by name. */
  async list(tx: Tx, query: EgressQuery): Promise<readonly EgressRecord[]> {
    const conditions = [Prisma.sql`e.name > ${query.after}`];
    if (query.gateway !== undefined)
      conditions.push(
        Prisma.sql`EXISTS (SELECT FROM placements p JOIN gateways g ON g.uid = p.gateway_uid WHERE p.egress_uid = e.uid AND g.name = ${query.gateway})`,
      );
    if (Object.keys(query.labels).length > 0) conditions.push(Prisma.sql`e.labels @> ${JSON.stringify(query.labels)}::jsonb`);
    const rows = await tx.$queryRaw<
      {
        uid: string;
        name: string;
        labels: unknown;
        spec: unknown;
        generation: bigint;
        version: bigint;
        create_time: Date;
        update_time: Date;
      }[]
    >`
      SELECT e.uid::text, e.name, e.labels, e.spec, e.generation, e.version, e.create_time, e.update_time
        FROM egresses e WHERE ${Prisma.join(conditions, ' AND ')} ORDER BY e.name LIMIT ${query.pageSize}::int`;
    return rows.map(({ create_time, update_time, ...row }) =>
      toRecord({ ...row, createTime: create_time, updateTime: update_time }),
    );
  }
}
