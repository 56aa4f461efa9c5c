import { randomUUID } from 'node:crypto';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../database/database.js';
import { type Hint, Notifications } from '../database/notifications.js';
import { type FreshDatabase, freshDatabase } from '../testing/fresh-database.js';
import { ReportWriter } from './report-writer.js';
import { type PlacementReportRecord, ReportsRepository } from './reports.repository.js';

const logger = createLogger({ name: 'test', level: 'silent' });

describe('reports of agents', () => {
  let fresh: FreshDatabase;
  let database: Database;
  beforeAll(async () => {
    fresh = await freshDatabase();
    database = fresh.open();
  });
  afterAll(() => fresh.drop());

  /** A gateway with a live session and some placements of generation 2. */
  const gateway = async (placements: number) => {
    const [gatewayUid, sessionUid] = [randomUUID(), randomUUID()];
    await fresh.sql.query('INSERT INTO gateways (uid, name) VALUES ($1, $2)', [gatewayUid, `g-${gatewayUid}`]);
    await fresh.sql.query('INSERT INTO gateway_reports (gateway_uid) VALUES ($1)', [gatewayUid]);
    await fresh.sql.query(
      "INSERT INTO sessions (gateway_uid, session_uid, replica_uid, instance, source) VALUES ($1, $2, $2, '', '')",
      [gatewayUid, sessionUid],
    );
    const forwards: string[] = [];
    for (let i = 0; i < placements; i++) {
      const uid = randomUUID();
      await fresh.sql.query("INSERT INTO forwards (uid, name, spec) VALUES ($1, $2, '{}')", [uid, `f-${uid}`]);
      await fresh.sql.query(
        "INSERT INTO placements (gateway_uid, forward_uid, generation, desired, hash, revision) VALUES ($1, $2, 2, '', '', 1)",
        [gatewayUid, uid],
      );
      forwards.push(uid);
    }
    return { session: { gatewayUid, sessionUid }, forwards };
  };
  const report = (entryUid: string, state: PlacementReportRecord['state'], generation = 2n) => ({
    entryUid,
    generation,
    state,
    report: {},
  });
  const writer = () => {
    const published: Hint[] = [];
    const notifications = new Notifications({ connection: database.connection, logger });
    notifications.subscribe((w) => w !== 'everything' && published.push(w));
    return { published, writer: new ReportWriter(database, new ReportsRepository(), notifications, logger), notifications };
  };
  const states = async (gatewayUid: string) =>
    Object.fromEntries(
      (await fresh.sql.query('SELECT forward_uid, state FROM placement_states WHERE gateway_uid = $1', [gatewayUid])).rows.map(
        (r) => [r.forward_uid, r.state],
      ),
    );

  it('are written as they come, the last word of each, for the generation that is wanted', async () => {
    const { session, forwards } = await gateway(3);
    const [a, b, c] = forwards as [string, string, string];
    const { writer: w, published, notifications } = writer();
    expect(await states(session.gatewayUid)).toEqual({ [a]: 'UNKNOWN', [b]: 'UNKNOWN', [c]: 'UNKNOWN' });
    w.enqueue(session, { spoke: true, acceptedRevision: 4n, placements: [report(a, 'ACTIVE'), report(b, 'REJECTED')] });
    w.enqueue(session, { appliedRevision: 4n, placements: [report(a, 'DEGRADED'), report(c, 'ACTIVE', 1n)] });
    await w.onApplicationShutdown();
    expect(await states(session.gatewayUid)).toEqual({ [a]: 'DEGRADED', [b]: 'REJECTED', [c]: 'PENDING' });
    expect(
      published
        .filter((h) => h.topic === 'entry')
        .map((h) => h.uid)
        .sort(),
    ).toEqual([...forwards].sort());
    const { rows } = await fresh.sql.query(
      'SELECT accepted_revision, applied_revision FROM gateway_reports WHERE gateway_uid = $1',
      [session.gatewayUid],
    );
    expect(rows).toEqual([{ accepted_revision: '4', applied_revision: '4' }]);
    await notifications.close();
  });

  it('that name everything make the rest PENDING again', async () => {
    const { session, forwards } = await gateway(2);
    const [a, b] = forwards as [string, string];
    const { writer: w, notifications } = writer();
    w.enqueue(session, { spoke: true, placements: [report(a, 'ACTIVE'), report(b, 'ACTIVE')] });
    await w.onApplicationShutdown();
    w.enqueue(session, { spoke: true, complete: true, placements: [report(b, 'ACTIVE')] });
    await w.onApplicationShutdown();
    expect(await states(session.gatewayUid)).toEqual({ [a]: 'PENDING', [b]: 'ACTIVE' });
    await notifications.close();
  });

  it('of a session that was replaced, of foreign or of deleted placements go nowhere and hold up nobody', async () => {
    const mine = await gateway(1);
    const other = await gateway(1);
    const { writer: w, notifications } = writer();
    w.enqueue({ ...mine.session, sessionUid: randomUUID() }, { spoke: true, placements: [report(mine.forwards[0]!, 'ACTIVE')] });
    w.enqueue(other.session, {
      spoke: true,
      placements: [report(mine.forwards[0]!, 'ACTIVE'), report(randomUUID(), 'ACTIVE'), report(other.forwards[0]!, 'ACTIVE')],
    });
    await w.onApplicationShutdown();
    expect(await states(mine.session.gatewayUid)).toEqual({ [mine.forwards[0]!]: 'UNKNOWN' });
    expect(await states(other.session.gatewayUid)).toEqual({ [other.forwards[0]!]: 'ACTIVE' });
    await notifications.close();
  });
});
