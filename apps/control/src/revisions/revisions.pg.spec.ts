import { randomUUID } from 'node:crypto';
import { EMPTY_DIGEST, xorInto } from '@gwctl/shared/domain/digest';
import { formatListener, type Listener, listenersConflict, type Protocol } from '@gwctl/shared/domain/forward';
import { parseIp } from '@gwctl/shared/domain/ip';
import { entryHash } from '@gwctl/shared/hash/entry-hash';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database, Tx } from '../database/database.js';
import { isExclusionViolation } from '../database/database-errors.js';
import { claimsOf } from '../placement/claims.js';
import { placementDifference } from '../placement/difference.js';
import { type FreshDatabase, freshDatabase } from '../testing/fresh-database.js';
import { RevisionsRepository } from './revisions.repository.js';
import { foldChanges } from './revisions-core.js';

const revisions = new RevisionsRepository();

async function addGateway(fresh: FreshDatabase): Promise<string> {
  const uid = randomUUID();
  await fresh.sql.query('INSERT INTO gateways (uid, name) VALUES ($1, $2)', [uid, `g-${uid}`]);
  await fresh.sql.query('INSERT INTO desired_states (gateway_uid, epoch, digest) VALUES ($1, $2, $3)', [
    uid,
    randomUUID(),
    Buffer.from(EMPTY_DIGEST),
  ]);
  return uid;
}

async function addForward(tx: Tx): Promise<string> {
  const uid = randomUUID();
  await tx.forward.create({ data: { uid, name: `f-${uid}`, spec: {} } });
  return uid;
}

/** Places a forward with this listener; answers whether the listener was free. */
async function place(database: Database, gatewayUid: string, listener: Listener): Promise<boolean> {
  try {
    await database.transaction(async (tx) => {
      const uid = await addForward(tx);
      const desired = new TextEncoder().encode(uid);
      const wanted = [{ gatewayUid, desired, hash: entryHash(uid, desired) }];
      await revisions.raise(tx, { uid, generation: 1n, claims: claimsOf(listener) }, placementDifference([], wanted));
    });
    return true;
  } catch (error) {
    if (isExclusionViolation(error)) return false;
    throw error;
  }
}

const address = fc.constantFrom('', '', '10.0.0.1', '10.0.0.2', '2001:db8::1', '::a00:1');
const listeners: fc.Arbitrary<Listener> = fc
  .record({
    address,
    protocol: fc.constantFrom<Protocol>('tcp', 'udp', 'tcp+udp', 'all'),
    first: fc.integer({ min: 1, max: 6 }),
    width: fc.integer({ min: 0, max: 2 }),
  })
  .map(({ address: text, protocol, first, width }) => {
    const parsed = parseIp(text);
    return {
      ...(parsed.ok ? { address: parsed.value } : {}),
      protocol,
      ...(protocol === 'all' ? {} : { ports: { first, last: first + width } }),
      announce: false,
    };
  });

describe('listeners', () => {
  let fresh: FreshDatabase;
  let database: Database;
  beforeAll(async () => {
    fresh = await freshDatabase();
    database = fresh.open();
  });
  afterAll(() => fresh.drop());

  it('are refused by the database exactly where the domain says that they conflict', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(listeners, { minLength: 2, maxLength: 6 }), async (wanted) => {
        const gatewayUid = await addGateway(fresh);
        const taken: Listener[] = [];
        for (const listener of wanted) {
          const free = !taken.some((t) => listenersConflict(t, listener));
          expect([formatListener(listener), await place(database, gatewayUid, listener)]).toEqual([
            formatListener(listener),
            free,
          ]);
          if (free) taken.push(listener);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('belong to one forward however many ask at once', async () => {
    const all = [
      { protocol: 'tcp', ports: { first: 80, last: 80 }, announce: false },
      { address: parseIp('10.0.0.1'), protocol: 'tcp', ports: { first: 80, last: 80 }, announce: false },
      { protocol: 'tcp+udp', ports: { first: 70, last: 90 }, announce: false },
    ].map((l) => ({ ...l, ...('address' in l && l.address?.ok ? { address: l.address.value } : {}) }) as Listener);
    for (let round = 0; round < 5; round++) {
      const gatewayUid = await addGateway(fresh);
      const results = await Promise.all(Array.from({ length: 12 }, (_, i) => place(database, gatewayUid, all[i % all.length]!)));
      expect(results.filter(Boolean)).toHaveLength(1);
    }
  });

  it('would still be settled by the constraint alone, without the lock on the counter row', async () => {
    const gatewayUid = await addGateway(fresh);
    const uids = await Promise.all(Array.from({ length: 10 }, () => database.run(addForward)));
    for (const uid of uids)
      await fresh.sql.query(
        "INSERT INTO placements (gateway_uid, forward_uid, generation, desired, hash, revision) VALUES ($1, $2, 1, '', '', 1)",
        [gatewayUid, uid],
      );
    const insert = (uid: string, cidr: string) =>
      database.transaction(
        (tx) => tx.$executeRaw`
          INSERT INTO listeners (gateway_uid, forward_uid, transport, family, address, ports)
          VALUES (${gatewayUid}::uuid, ${uid}::uuid, 'tcp', 4, ${cidr}::inet, int4range(80, 80, '[]'))`,
      );
    const results = await Promise.allSettled(uids.map((uid, i) => insert(uid, i % 2 ? '0.0.0.0/0' : '10.0.0.1/32')));
    expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(1);
    for (const r of results) if (r.status === 'rejected') expect(isExclusionViolation(r.reason)).toBe(true);
  });
});

describe('revisions', () => {
  let fresh: FreshDatabase;
  let database: Database;
  beforeAll(async () => {
    fresh = await freshDatabase();
    database = fresh.open();
  });
  afterAll(() => fresh.drop());

  it('are never skipped by a reader while many write, and the digest is that of what is there', async () => {
    const gateways = await Promise.all([0, 1, 2].map(() => addGateway(fresh)));
    const total = 8 * 12;
    let writing = true;
    // The reader follows from its cursor, as a session does; a revision that appeared behind it would be a gap.
    const followers = gateways.map(async (gatewayUid) => {
      let cursor = 0n;
      const held = new Map<string, Uint8Array>();
      for (;;) {
        const last = !writing;
        const rows = await database.run((tx) => revisions.changesAfter(tx, gatewayUid, cursor, 7));
        if (rows.length === 0 && last) return { cursor, held };
        const folded = foldChanges(cursor, rows);
        if (rows.length > 0 && !folded) throw new Error(`gap after ${cursor}: ${rows.map((r) => r.revision)}`);
        for (const { uid, desired } of folded?.upserts ?? []) held.set(uid, desired);
        for (const uid of folded?.removals ?? []) held.delete(uid);
        cursor = folded?.revision ?? cursor;
      }
    });
    await Promise.all(
      Array.from({ length: 8 }, async (_, writer) => {
        for (let i = 0; i < 12; i++)
          await database.transaction(async (tx) => {
            const uid = await addForward(tx);
            const desired = new TextEncoder().encode(`${writer}/${i}`);
            // Every forward onto all gateways, named in an order that differs by writer: locks are taken in one order all the same.
            const rotated = [...gateways.slice(writer % 3), ...gateways.slice(0, writer % 3)];
            const wanted = rotated.map((gatewayUid) => ({ gatewayUid, desired, hash: entryHash(uid, desired) }));
            await revisions.raise(tx, { uid, generation: 1n, claims: [] }, placementDifference([], wanted));
            if (i % 3 === 2)
              await revisions.raise(tx, { uid, generation: 1n, claims: [] }, placementDifference(wanted, wanted.slice(0, 1)));
          });
      }),
    );
    writing = false;
    const states = await Promise.all(followers);
    for (const [i, gatewayUid] of gateways.entries()) {
      const current = await database.run((tx) => revisions.current(tx, gatewayUid));
      const snapshot = await database.run((tx) => revisions.snapshot(tx, gatewayUid));
      const digest = snapshot!.entries.reduce((d, e) => xorInto(d, entryHash(e.uid, e.desired)), EMPTY_DIGEST);
      expect(Buffer.from(digest).equals(current!.digest)).toBe(true);
      expect(states[i]!.cursor).toBe(current!.revision);
      expect(new Map(snapshot!.entries.map((e) => [e.uid, Buffer.from(e.desired).toString()]))).toEqual(
        new Map([...states[i]!.held].map(([uid, bytes]) => [uid, Buffer.from(bytes).toString()])),
      );
      expect(Number(current!.revision)).toBeGreaterThanOrEqual(total);
    }
    const { rows } = await fresh.sql.query(
      'SELECT d.forwards, (SELECT count(*)::int FROM placements p WHERE p.gateway_uid = d.gateway_uid) AS placed FROM desired_states d',
    );
    for (const row of rows) expect(row.forwards).toBe(row.placed);
  });

  it('forgets the change log by age and by number', async () => {
    const gatewayUid = await addGateway(fresh);
    for (let i = 1; i <= 10; i++)
      await fresh.sql.query(
        "INSERT INTO changes (gateway_uid, revision, forward_uid, digest, create_time) VALUES ($1, $2, $3, '', now() - make_interval(mins => $4))",
        [gatewayUid, i, randomUUID(), 305 - i * 10],
      );
    const left = async () =>
      (await fresh.sql.query('SELECT count(*)::int AS n FROM changes WHERE gateway_uid = $1', [gatewayUid])).rows[0].n;
    await fresh.sql.query('DELETE FROM changes WHERE gateway_uid <> $1', [gatewayUid]);
    await database.run((tx) => revisions.prune(tx, { hours: 4, rows: 100 }));
    expect(await left()).toBe(4);
    await database.run((tx) => revisions.prune(tx, { hours: 4, rows: 2 }));
    expect(await left()).toBe(2);
  });
});
