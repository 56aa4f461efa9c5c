import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { EMPTY_DIGEST } from '@gwctl/shared/domain/digest';
import { AppError } from '@gwctl/shared/errors/app-error';
import { createLogger } from '@gwctl/shared/logging/logger';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../clock.js';
import { DesiredStore } from '../desired/desired-store.js';
import { DiskFiles } from '../desired/files.js';
import { IdentityStore } from '../identity/identity-store.js';
import { join } from '../identity/join.js';
import { SortedList } from '../planner/sorted-list.js';
import type { ReadEntry } from '../planner/types.js';
import type { PlacementStatus } from '../reconciler/placement-status.js';
import { Conditions } from '../status/conditions.js';
import { FakeControlPlane, GATEWAY_UID } from '../testing/fake-control-plane.js';
import { EPOCH, entry, Origin, snapshotOf, uidOf } from '../testing/forwards.js';
import { backOff } from './backoff.js';
import { ControlLink } from './control-link.js';
import { Dialler } from './dialler.js';
import { Outbox } from './outbox.js';
import { connectGrpc } from './stream.js';

const log = createLogger({ name: 'spec', level: 'silent' });
const stops: (() => Promise<void> | void)[] = [];
let plane: FakeControlPlane;
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(path(tmpdir(), 'gwctl-link-'));
  plane = await FakeControlPlane.start();
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  plane.stop();
  await rm(dir, { recursive: true, force: true });
});

/** A joined agent without a host: what it accepts counts as applied at once. */
async function agent() {
  const identities = new IdentityStore({ stateDir: dir });
  const identity = (await identities.exists())
    ? await identities.load()
    : await join({
        join: { servers: [plane.address], caFingerprint: plane.ca.fingerprint, gateway: 'gw1', token: plane.token },
        store: identities,
        hostname: 'host',
        agentVersion: '0',
        force: false,
      });
  const clock = systemClock;
  const conditions = new Conditions({ clock });
  const store = new DesiredStore({ files: new DiskFiles(path(dir, 'desired')), gatewayUid: GATEWAY_UID, clock, conditions, log });
  await store.load();
  const outbox = new Outbox({ clock, random: () => 0, conditions, persisted: () => store.persisted() });
  let applied: { epoch: string; revision: number } | undefined;
  const known = new Map<ReadEntry, PlacementStatus>();
  const apply = () => {
    const { complete, epoch, revision, entries } = store.view();
    outbox.poke();
    if (!complete) return;
    applied = { epoch, revision };
    const statuses = entries.map((e): PlacementStatus => {
      const { uid, generation, name } = e.kind === 'forward' ? e.forward : e.kind === 'egress' ? e.egress : e;
      const none = { targets: [], conditions: [], violations: [], clientAddress: '' };
      const state = e.kind === 'forward' ? 'ACTIVE' : 'REJECTED';
      const status = known.get(e) ?? { uid, generation, name, state, ...none };
      known.set(e, status);
      return status;
    });
    outbox.report({ statuses: SortedList.from(statuses), applied });
  };
  store.onChange(apply);
  apply();
  const link = new ControlLink({
    dialler: new Dialler({ store: identities, identity, connect: connectGrpc }),
    store,
    outbox,
    host: {
      about: () => ({
        gatewayUid: GATEWAY_UID,
        agentVersion: '0',
        hostname: 'host',
        kernel: '6.1',
        driver: 'fake',
        capabilities: [{ name: 'driver.fake', supported: true, detail: 'yes' }],
        instanceId: 'i',
      }),
      applied: () => applied,
    },
    // No chance: the waits between sessions are as short as they get.
    runtime: { clock, random: () => 0, log },
  });
  const stop = new AbortController();
  const run = link.run(stop.signal);
  const halt = async () => {
    stop.abort();
    await run;
    await store.close();
  };
  stops.push(halt);
  return { link, store, outbox, conditions, halt };
}

const failing = (conditions: Conditions) =>
  conditions
    .list()
    .filter((c) => c.status === 'false')
    .map((c) => c.reason);

describe('control link', () => {
  it('says hello, takes a snapshot and changes, and answers accepted and applied', async () => {
    const { link } = await agent();
    const origin = new Origin();
    const session = await plane.session(0);
    expect(await session.first('hello')).toMatchObject({
      gatewayUid: GATEWAY_UID,
      epoch: '',
      acceptedRevision: 0n,
      driver: 'fake',
      instanceId: 'i',
      capabilities: [{ name: 'driver.fake', supported: true }],
    });
    session.welcome();
    origin.change([entry(1), entry(2), entry(3)]);
    session.snapshot(origin.snapshot());
    expect(new Uint8Array((await session.first('accepted')).digest)).toEqual(origin.snapshot().digest);
    await session.first('applied', (a) => a.revision === 2n && a.epoch === EPOCH);
    const complete = await session.first('status', (s) => s.complete);
    expect(complete.placements.map((p) => p.forwardUid).sort()).toEqual([1, 2, 3].map(uidOf));
    session.change(origin.change([{ uid: uidOf(4), kind: 'forward', bytes: Uint8Array.of(0xff) }]));
    await session.first('accepted', (a) => a.revision === 3n);
    const applied = await session.first('applied', (a) => a.revision === 3n);
    expect(applied.placements.map((p) => [p.forwardUid, p.state])).toEqual([[uidOf(4), 4]]);
    expect(link.status()).toMatchObject({ connected: true, server: plane.address, sessionId: 's1' });
  });

  it('continues from what is on the disk, and takes changes in a row', async () => {
    const origin = new Origin();
    const first = await agent();
    const before = await plane.session(0);
    before.welcome();
    before.snapshot(origin.snapshot());
    await before.first('accepted');
    await first.halt();
    const { store } = await agent();
    const session = await plane.session(1);
    const { epoch, acceptedRevision, digest, appliedRevision } = await session.first('hello');
    expect({ epoch, acceptedRevision, digest: new Uint8Array(digest), appliedRevision }).toEqual({
      epoch: EPOCH,
      acceptedRevision: 1n,
      digest: EMPTY_DIGEST,
      appliedRevision: 1n,
    });
    expect(store.source).toBe('disk');
    session.welcome();
    session.resume(1);
    for (let n = 1; n <= 100; n++) session.change(origin.change([entry(n)]));
    await session.first('applied', (a) => a.revision === 101n);
    expect(store.source).toBe('control-plane');
    expect(store.view().entries).toHaveLength(100);
  });

  it('resyncs after a gap, from what it holds', async () => {
    const { store } = await agent();
    const origin = new Origin();
    const session = await plane.session(0);
    session.welcome();
    session.snapshot(origin.snapshot());
    const [missed, next] = [origin.change([entry(1)]), origin.change([entry(2)])];
    session.change(next);
    await session.ended();
    const again = await plane.session(1);
    expect(await again.first('hello')).toMatchObject({ acceptedRevision: 1n, epoch: EPOCH });
    again.welcome();
    again.resume(1);
    again.change(missed);
    again.change(next);
    await again.first('applied', (a) => a.revision === 3n);
    expect(store.view().entries).toHaveLength(2);
  });

  it('asks for a snapshot when the digest does not add up, and changes nothing until it comes', async () => {
    const { store, conditions } = await agent();
    const origin = new Origin();
    const session = await plane.session(0);
    session.welcome();
    session.snapshot(origin.snapshot());
    await session.first('applied');
    session.change({ ...origin.change([entry(1)]), digest: EMPTY_DIGEST });
    await session.ended();
    expect(store.view()).toMatchObject({ revision: 1, entries: { length: 0 } });
    expect(failing(conditions)).toEqual(['DIGEST_MISMATCH']);
    const again = await plane.session(1);
    expect(await again.first('hello')).toMatchObject({ epoch: '', acceptedRevision: 0n });
    again.welcome();
    again.snapshot(origin.snapshot());
    await again.first('applied', (a) => a.revision === 2n);
    expect(failing(conditions)).toEqual([]);
  });

  it('applies nothing of a snapshot that is cut off', async () => {
    const { store } = await agent();
    const session = await plane.session(0);
    session.welcome();
    const { digest, entries } = snapshotOf(5, [entry(1), entry(2)]);
    session.send({ message: { case: 'snapshotBegin', value: { revision: 5n, forwards: 2, digest } } });
    session.send({ message: { case: 'snapshotPart', value: { entries: entries.slice(0, 1) } } });
    session.close();
    expect(await (await plane.session(1)).first('hello')).toMatchObject({ epoch: '' });
    expect(store.view().complete).toBe(false);
  });

  it('reports a held snapshot and goes on', async () => {
    const { store, conditions } = await agent();
    const session = await plane.session(0);
    session.welcome();
    session.snapshot(
      snapshotOf(
        1,
        Array.from({ length: 20 }, (_, i) => entry(i)),
      ),
      20,
    );
    await session.first('applied', (a) => a.revision === 1n);
    session.snapshot(snapshotOf(2, []));
    const report = await session.first('status', (s) => s.conditions.some((c) => c.reason === 'PENDING_MASS_DELETE'));
    expect(report.hasConditions).toBe(true);
    expect(store.view().entries).toHaveLength(20);
    session.snapshot(snapshotOf(2, [], { allowMassRemoval: true }));
    await session.first('applied', (a) => a.revision === 2n);
    expect(failing(conditions)).toEqual([]);
  });

  it('tells events, also those from before the session', async () => {
    const { outbox } = await agent();
    outbox.event({ time: 1_000, uid: uidOf(1), reason: 'DRIFT_DETECTED', message: 'gone' });
    const session = await plane.session(0);
    session.welcome();
    session.snapshot(snapshotOf(1, []));
    expect(await session.first('event')).toMatchObject({ forwardUid: uidOf(1), reason: 'DRIFT_DETECTED', message: 'gone' });
  });

  it('tells how things stand also while it is told nothing, as on a cordoned gateway', async () => {
    const { store, outbox } = await agent();
    await store.acceptSnapshot(snapshotOf(7, [entry(1)]));
    const session = await plane.session(0);
    session.welcome();
    expect((await session.first('status', (s) => s.complete)).placements).toMatchObject([{ forwardUid: uidOf(1) }]);
    outbox.event({ time: 1_000, reason: 'DRIFT_DETECTED', message: 'gone' });
    await session.first('event');
  });

  it('leaves when it is asked to, and says why there is no session', async () => {
    const { link } = await agent();
    const session = await plane.session(0);
    session.welcome();
    session.snapshot(snapshotOf(1, []));
    await session.first('accepted');
    session.goAway(0);
    await session.ended();
    const again = await plane.session(1);
    again.fail(new AppError({ code: 'ABORTED', reason: 'IDENTITY_IN_USE', message: 'another host has this identity' }));
    await plane.session(2);
    expect(link.status()).toMatchObject({ connected: false, error: { reason: 'IDENTITY_IN_USE' } });
  });

  it('ignores a message that it does not know', async () => {
    const { store } = await agent();
    const session = await plane.session(0);
    session.welcome();
    session.send({});
    session.snapshot(snapshotOf(1, [entry(1)]));
    await session.first('applied');
    expect(store.view().entries).toHaveLength(1);
  });

  it('takes no message beyond 1 MiB', async () => {
    const { link, store } = await agent();
    const session = await plane.session(0);
    session.welcome();
    const { digest } = snapshotOf(1, []);
    session.send({ message: { case: 'snapshotBegin', value: { revision: 1n, forwards: 1, digest } } });
    session.send({
      message: { case: 'snapshotPart', value: { entries: [{ uid: uidOf(1), forward: new Uint8Array(1 << 20) }] } },
    });
    await session.ended();
    await plane.session(1);
    expect(store.view().complete).toBe(false);
    expect(link.status()).toMatchObject({ connected: false, error: { reason: 'RESOURCE_EXHAUSTED' } });
  });
});

describe('back-off', () => {
  it('is full jitter between 0.5 s and 60 s', () => {
    expect([0, 1, 2, 6, 7, 50].map((n) => backOff(n, () => 1))).toEqual([500, 1_000, 2_000, 32_000, 60_000, 60_000]);
    expect(backOff(50, () => 0)).toBe(0);
  });
});
