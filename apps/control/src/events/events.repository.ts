import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';
import { Prisma } from '../database/generated/client.js';

/** A fact that was noticed. */
export interface NewEvent {
  readonly time: Date;
  readonly gatewayUid: string;
  /** Of a forward or an egress; undefined where it concerns the whole gateway. */
  readonly entryUid?: string | undefined;
  readonly reason: string;
  readonly message: string;
  /** gwctl.v1.Drift as protobuf JSON. */
  readonly drift?: unknown;
}

export interface EventRecord {
  readonly uid: string;
  readonly time: Date;
  readonly gateway: string;
  readonly forward: string;
  readonly egress: string;
  readonly reason: string;
  readonly message: string;
  readonly drift: unknown;
}

export interface EventQuery {
  readonly pageSize: number;
  /** `TIME_MS/UID` of the last event of the page before; empty for the newest. */
  readonly after: string;
  readonly gateway: string | undefined;
  readonly forward: string | undefined;
  readonly egress: string | undefined;
}

export const eventKey = (event: { readonly time: Date; readonly uid: string }): string => `${event.time.getTime()}/${event.uid}`;

@Injectable()
export class EventsRepository {
  /** Names are written down as they are now: an event outlives what it speaks of. What is not on the gateway is left out. */
  async append(tx: Tx, events: readonly NewEvent[]): Promise<void> {
    const rows = events.map((e) => ({
      uid: randomUUID(),
      time: e.time.toISOString(),
      g: e.gatewayUid,
      e: e.entryUid ?? null,
      reason: e.reason,
      message: e.message,
      drift: e.drift ?? null,
    }));
    await tx.$executeRaw`
      INSERT INTO events (uid, time, gateway, forward, egress, reason, message, drift)
      SELECT x.uid, x.time, g.name, coalesce(f.name, ''), coalesce(e.name, ''), x.reason, x.message, x.drift
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
               AS x(uid uuid, time timestamptz, g uuid, e uuid, reason text, message text, drift jsonb)
        JOIN gateways g ON g.uid = x.g
        LEFT JOIN placements p ON p.gateway_uid = x.g AND p.entry_uid = x.e
        LEFT JOIN forwards f ON f.uid = p.forward_uid
        LEFT JOIN egresses e ON e.uid = p.egress_uid`;
  }

  /** Newest first. */
  async list(tx: Tx, query: EventQuery): Promise<readonly EventRecord[]> {
    const conditions = [Prisma.sql`true`];
    const [time, uid] = query.after.split('/');
    if (time && uid) conditions.push(Prisma.sql`(time, uid) < (${new Date(Number(time))}::timestamptz, ${uid}::uuid)`);
    if (query.gateway !== undefined) conditions.push(Prisma.sql`gateway = ${query.gateway}`);
    if (query.forward !== undefined) conditions.push(Prisma.sql`forward = ${query.forward}`);
    if (query.egress !== undefined) conditions.push(Prisma.sql`egress = ${query.egress}`);
    return tx.$queryRaw<EventRecord[]>`
      SELECT uid::text, time, gateway, forward, egress, reason, message, drift FROM events
       WHERE ${Prisma.join(conditions, ' AND ')} ORDER BY time DESC, uid DESC LIMIT ${query.pageSize}::int`;
  }

  /** Forgets what is older, and what is more, than is kept. */
  async prune(tx: Tx, keep: { readonly days: number; readonly rows: number }): Promise<number> {
    return tx.$executeRaw`
      DELETE FROM events WHERE time < now() - make_interval(days => ${keep.days}::int)
         OR time < (SELECT time FROM events ORDER BY time DESC OFFSET ${keep.rows - 1}::int LIMIT 1)`;
  }
}
