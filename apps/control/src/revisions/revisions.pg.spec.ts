import { randomUUID } from 'node:crypto';
import { familiesOf } from '@gwctl/shared/domain/carriers';
import { EMPTY_DIGEST, xorInto } from '@gwctl/shared/domain/digest';
import {
  type DriverChoice,
  formatListener,
  type Listener,
  listenersConflict,
  type Protocol,
  type TrafficSpec,
} from '@gwctl/shared/domain/forward';
import { parseIp } from '@gwctl/shared/domain/ip';
import { entryHash } from '@gwctl/shared/hash/entry-hash';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database, Tx } from '../database/database.js';
import { isExclusionViolation } from '../database/database-errors.js';
import { type Claims, claimsOfForward } from '../placement/claims.js';
import { placementDifference } from '../placement/difference.js';
import { type FreshDatabase, freshDatabase } from '../testing/fresh-database.js';
import { ClaimsRepository } from './claims.repository.js';
import { type Entry, RevisionsRepository } from './revisions.repository.js';
import { foldChanges } from './revisions-core.js';

const revisions = new RevisionsRepository();
const claims = new ClaimsRepository();

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

async function addEgress(tx: Tx): Promise<string> {
  const uid = randomUUID();
  await tx.egress.create({ data: { uid, name: `e-${uid}`, spec: {} } });
  return uid;
}

/** Places something with these claims; answers whether they were free. */
async function place(database: Database, gatewayUid: string, kind: 'forward' | 'egress', wants: Claims): Promise<boolean> {
  try {
    await database.transaction(async (tx) => {
      const uid = await (kind === 'forward' ? addForward(tx) : addEgress(tx));
      const desired = new TextEncoder().encode(uid);
      const changes = placementDifference([], [{ gatewayUid, desired, hash: entryHash(uid, desired) }]);
      await revisions.raise(tx, { uid, kind, generation: 1n }, changes);
      await claims.take(tx, uid, wants, changes);
    });
    return true;
  } catch (error) {
    if (isExclusionViolation(error)) return false;
    throw error;
  }
}

const address = fc.constantFrom('', '', '10.0.0.1', '10.0.0.2', '2001:db8::1', '::a00:1');
/** What decides about claims. Behind every address, the target says which family the forward is of, a name IPv4; the relay takes both. */
const forwards: fc.Arbitrary<TrafficSpec> = fc
  .record({
    address,
    target: fc.constantFrom('10.9.9.9', '2001:db8::99', 'db.example.net', '127.0.0.1'),
    driver: fc.constantFrom<DriverChoice>('auto', 'auto', 'kernel', 'relay'),
    protocol: fc.constantFrom<Protocol>('tcp', 'udp', 'tcp+udp', 'all'),
    first: fc.integer({ min: 1, max: 6 }),
    width: fc.integer({ min: 0, max: 2 }),
  })
  .map(({ address: text, target, driver, protocol, first, width }) => {
    const [parsed, to] = [parseIp(text), parseIp(target)];
    const listen = {
      ...(parsed.ok ? { address: parsed.value } : {}),
      protocol,
      ...(protocol === 'all' ? {} : { ports: { first, last: first + width } }),
      announce: false,
    };
    const host = to.ok ? { kind: 'ip', address: to.value } : { kind: 'dns', name: target };
    return { listen, targets: [{ host, weight: 1 }], driver } as unknown as TrafficSpec;
  });

const forwardOn = (listen: Listener) => ({ listen, targets: [] }) as unknown as TrafficSpec;

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
      fc.asyncProperty(fc.array(forwards, { minLength: 2, maxLength: 6 }), async (wanted) => {
        const gatewayUid = await addGateway(fresh);
        const taken: TrafficSpec[] = [];
        for (const forward of wanted) {
          const families = familiesOf(forward);
          const free = !taken.some(
            (t) => familiesOf(t).some((f) => families.includes(f)) && listenersConflict(t.listen, forward.listen),
          );
          const shown = `IPv${families.join('+')} ${formatListener(forward.listen)}`;
          expect([shown, await place(database, gatewayUid, 'forward', claimsOfForward(forward))]).toEqual([shown, free]);
          if (free) taken.push(forward);
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
      const results = await Promise.all(
        Array.from({ length: 12 }, (_, i) =>
          place(database, gatewayUid, 'forward', claimsOfForward(forwardOn(all[i % all.length]!))),
        ),
      );
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

describe('sources of egresses', () => {
  let fresh: FreshDatabase;
  let database: Database;
  beforeAll(async () => {
    fresh = await freshDatabase();
    database = fresh.open();
  });
  afterAll(() => fresh.drop());

  const egress = (outInterface: string, ...sources: string[]): Claims => ({
    listeners: [],
    sources: sources.map((source) => ({ outInterface, source })),
  });

  it('belong to one egress on each interface, however many ask at once', async () => {
    for (const wants of [
      egress('eth0', '10.1.0.0/16'),
      egress('eth0', '192.168.0.0/24', '10.1.2.0/24'),
      egress('eth0', '10.0.0.0/8'),
    ])
      for (const first of [egress('eth0', '10.1.2.0/25'), egress('eth0', '10.1.2.0/24', '10.3.0.0/24')]) {
        const gatewayUid = await addGateway(fresh);
        const results = await Promise.all([first, wants, first].map((c) => place(database, gatewayUid, 'egress', c)));
        expect(results.filter(Boolean)).toHaveLength(1);
      }
  });

  it('are free on another interface, of another network, of the other family and on another gateway', async () => {
    const gateways = [await addGateway(fresh), await addGateway(fresh)];
    for (const gatewayUid of gateways)
      for (const wants of [
        egress('eth0', '10.1.0.0/16'),
        egress('eth1', '10.1.0.0/16'),
        egress('eth0', '10.2.0.0/16'),
        egress('eth0', '2001:db8::/32'),
      ])
        expect(await place(database, gatewayUid, 'egress', wants)).toBe(true);
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
            const kind = i % 4 === 1 ? 'egress' : 'forward';
            const uid = await (kind === 'forward' ? addForward(tx) : addEgress(tx));
            const entry: Entry = { uid, kind, generation: 1n };
            const desired = new TextEncoder().encode(`${writer}/${i}`);
            // Every forward onto all gateways, named in an order that differs by writer: locks are taken in one order all the same.
            const rotated = [...gateways.slice(writer % 3), ...gateways.slice(0, writer % 3)];
            const wanted = rotated.map((gatewayUid) => ({ gatewayUid, desired, hash: entryHash(uid, desired) }));
            await revisions.raise(tx, entry, placementDifference([], wanted));
            if (i % 3 === 2) await revisions.raise(tx, entry, placementDifference(wanted, wanted.slice(0, 1)));
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
      `SELECT d.forwards, d.entries, count(p.forward_uid)::int AS placed_forwards, count(*)::int AS placed
         FROM desired_states d JOIN placements p USING (gateway_uid) GROUP BY d.gateway_uid`,
    );
    expect(rows).toHaveLength(3);
    for (const row of rows) {
      expect([row.forwards, row.entries]).toEqual([row.placed_forwards, row.placed]);
      expect(row.entries).toBeGreaterThan(row.forwards);
    }
  });

  it('forgets the change log by age and by number', async () => {
    const gatewayUid = await addGateway(fresh);
    for (let i = 1; i <= 10; i++)
      await fresh.sql.query(
        "INSERT INTO changes (gateway_uid, revision, entry_uid, kind, digest, create_time) VALUES ($1, $2, $3, 'forward', '', now() - make_interval(mins => $4))",
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
