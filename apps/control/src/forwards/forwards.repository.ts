import type { PlacementStateWord } from '@gwctl/shared/domain/status';
import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';
import { Prisma } from '../database/generated/client.js';
import { inState } from '../status/placement-states.repository.js';

export interface ForwardRecord {
  readonly uid: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** gwctl.v1.ForwardSpec as protobuf JSON. */
  readonly spec: unknown;
  readonly owner: string;
  readonly generation: bigint;
  readonly version: bigint;
  readonly createTime: Date;
  readonly updateTime: Date;
}

/** What an update writes. */
export type ForwardContent = Pick<ForwardRecord, 'labels' | 'spec' | 'owner' | 'generation'>;

export interface ForwardQuery {
  readonly pageSize: number;
  /** Names after this one. */
  readonly after: string;
  readonly gateway: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly owner: string | undefined;
  readonly state: PlacementStateWord | undefined;
}

const toRecord = (row: Omit<ForwardRecord, 'labels'> & { labels: unknown }): ForwardRecord => ({
  ...row,
  labels: row.labels as Record<string, string>,
});

const json = (value: unknown): Prisma.InputJsonValue => value as Prisma.InputJsonValue;

@Injectable()
export class ForwardsRepository {
  async create(tx: Tx, made: { readonly uid: string; readonly name: string } & ForwardContent): Promise<ForwardRecord> {
    const { uid, name, owner, generation } = made;
    return toRecord(
      await tx.forward.create({ data: { uid, name, owner, generation, labels: json(made.labels), spec: json(made.spec) } }),
    );
  }

  async find(tx: Tx, by: { readonly name: string } | { readonly uid: string }): Promise<ForwardRecord | undefined> {
    const row = await tx.forward.findUnique({ where: by });
    return row ? toRecord(row) : undefined;
  }

  /** Finds it and keeps other writers out until the transaction ends. */
  async lock(tx: Tx, name: string): Promise<ForwardRecord | undefined> {
    const [row] = await tx.$queryRaw<{ uid: string }[]>`SELECT uid::text FROM forwards WHERE name = ${name} FOR UPDATE`;
    return row && this.find(tx, { uid: row.uid });
  }

  /** Writes content under the next version. */
  async update(tx: Tx, uid: string, content: ForwardContent): Promise<ForwardRecord> {
    const { owner, generation } = content;
    const data = {
      owner,
      generation,
      labels: json(content.labels),
      spec: json(content.spec),
      version: { increment: 1 },
      updateTime: new Date(),
    };
    return toRecord(await tx.forward.update({ where: { uid }, data }));
  }

  async delete(tx: Tx, uid: string): Promise<void> {
    await tx.forward.delete({ where: { uid } });
  }

  /** One page, by name. */
  async list(tx: Tx, query: ForwardQuery): Promise<readonly ForwardRecord[]> {
    const conditions = [Prisma.sql`f.name > ${query.after}`];
    if (query.gateway !== undefined)
      conditions.push(
        Prisma.sql`EXISTS (SELECT FROM placements p JOIN gateways g ON g.uid = p.gateway_uid WHERE p.forward_uid = f.uid AND g.name = ${query.gateway})`,
      );
    if (Object.keys(query.labels).length > 0) conditions.push(Prisma.sql`f.labels @> ${JSON.stringify(query.labels)}::jsonb`);
    if (query.owner !== undefined) conditions.push(Prisma.sql`f.owner = ${query.owner}`);
    if (query.state !== undefined) conditions.push(inState(query.state));
    const rows = await tx.$queryRaw<
      {
        uid: string;
        name: string;
        labels: unknown;
        spec: unknown;
        owner: string;
        generation: bigint;
        version: bigint;
        create_time: Date;
        update_time: Date;
      }[]
    >`
      SELECT f.uid::text, f.name, f.labels, f.spec, f.owner, f.generation, f.version, f.create_time, f.update_time
        FROM forwards f WHERE ${Prisma.join(conditions, ' AND ')} ORDER BY f.name LIMIT ${query.pageSize}::int`;
    return rows.map(({ create_time, update_time, ...row }) =>
      toRecord({ ...row, createTime: create_time, updateTime: update_time }),
    );
  }
}
