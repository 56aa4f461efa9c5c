import { EventService } from '@gwctl/proto/gwctl/v1/event_pb';
import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { PlacementState } from '@gwctl/proto/gwctl/v1/types_pb';
import { digestsEqual } from '@gwctl/shared/domain/digest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startControl, type TestControl } from '../testing/control.js';
import type { FakeAgent, FakeSession } from '../testing/fake-agent.js';
import { forwardOf } from '../testing/requests.js';

describe('session', () => {
  let control: TestControl;
  let port = 10_000;
  beforeAll(async () => {
    control = await startControl();
  });
  afterAll(() => control.close());

  const add = (name: string, gateway: string) =>
    control.call(ForwardService.method.createForward, { forward: forwardOf(name, gateway, port++) });
  const stateOf = async (name: string) => (await control.call(ForwardService.method.getForward, { name })).placements[0]!;
  const synced = async (agent: FakeAgent): Promise<FakeSession> => {
    const session = agent.connect();
    await session.until(() => session.has('snapshotEnd'));
    return session;
  };
  const watchUntil = async (name: string, wanted: PlacementState) => {
    for await (const forward of control.watch(ForwardService.method.watchForward, { name }))
      if (forward.placements[0]?.state === wanted) return forward;
    throw new Error('the watch ended');
  };

  it('tells a new agent everything, then each change, with the right digest', async () => {
    const agent = await control.agent('gw-new');
    const first = await add('new-1', 'gw-new');
    const session = await synced(agent);
    expect(session.forward(first.uid)).toMatchObject({ name: 'new-1', generation: 1n, enabled: true });
    const second = await add('new-2', 'gw-new');
    await session.until(() => session.revision === 2n);
    expect(session.entries.size).toBe(2);
    await control.call(ForwardService.method.deleteForward, { name: 'new-1' });
    await session.until(() => session.revision === 3n);
    expect([...session.entries.keys()]).toEqual([second.uid]);
    const last = session.received.at(-1);
    expect(last?.case === 'change' && digestsEqual(last.value.digest, session.digest)).toBe(true);
  });

  it('resumes where the agent proves that it is right, and sends everything where it does not', async () => {
    const agent = await control.agent('gw-resume');
    await add('resume-1', 'gw-resume');
    const session = await synced(agent);
    const { held } = session;
    session.leave();
    await session.end();
    await add('resume-2', 'gw-resume');
    const again = agent.connect({}, held);
    await again.until(() => again.revision === 2n);
    expect(again.has('resume')).toBe(true);
    expect(again.has('snapshotBegin')).toBe(false);
    expect(again.entries.size).toBe(2);
    // The same revision with other contents: corrupted on disk, or a database that went another way.
    const corrupt = agent.connect({}, { ...held, entries: new Map([[[...held.entries.keys()][0]!, new Uint8Array([1])]]) });
    await corrupt.until(() => corrupt.has('snapshotEnd'));
    expect(corrupt.has('resume')).toBe(false);
  });

  it('sends everything to an agent that was away longer than the change log reaches', async () => {
    const agent = await control.agent('gw-away');
    const session = await synced(agent);
    const { held } = session;
    await add('away-1', 'gw-away');
    await add('away-2', 'gw-away');
    await control.database.sql.query('DELETE FROM changes c USING gateways g WHERE g.uid = c.gateway_uid AND g.name = $1', [
      'gw-away',
    ]);
    const again = agent.connect({}, held);
    await again.until(() => again.has('snapshotEnd'));
    expect(again.entries.size).toBe(2);
  });

  it('gives the gateway a new epoch when the agent holds what this database never issued (restored backup)', async () => {
    const agent = await control.agent('gw-restored');
    await add('restored-1', 'gw-restored');
    const session = await synced(agent);
    const { held } = session;
    const ahead = agent.connect({}, { ...held, revision: held.revision + 5n });
    await ahead.until(() => ahead.has('snapshotEnd'));
    expect(ahead.epoch).not.toBe(held.epoch);
    const { rows } = await control.database.sql.query("SELECT count(*)::int AS n FROM audit_entries WHERE method = 'NewEpoch'");
    expect(rows[0].n).toBe(1);
  });

  it('passes on what the agent says: PENDING, ACTIVE, REJECTED with reasons, UNKNOWN when it is gone', async () => {
    const agent = await control.agent('gw-states');
    const { uid } = await add('states-1', 'gw-states');
    expect((await stateOf('states-1')).state).toBe(PlacementState.UNKNOWN);
    const session = await synced(agent);
    session.say({ case: 'status', value: { complete: true } });
    await watchUntil('states-1', PlacementState.PENDING);
    session.say({
      case: 'status',
      value: { placements: [{ forwardUid: uid, generation: 1n, state: PlacementState.ACTIVE, driver: 'iptables-nft' }] },
    });
    expect((await watchUntil('states-1', PlacementState.ACTIVE)).placements[0]!.driver).toBe('iptables-nft');
    const rejected = { field: 'listen.ports', description: 'is in use\u0000\u001b[2J' };
    const placement = { forwardUid: uid, generation: 1n, state: PlacementState.REJECTED, violations: [rejected] };
    session.say({ case: 'applied', value: { epoch: session.epoch, revision: session.revision, placements: [placement] } });
    const shown = (await watchUntil('states-1', PlacementState.REJECTED)).placements[0]!;
    expect(shown.violations[0]!.field).toBe('listen.ports');
    expect(shown.violations[0]!.description).not.toMatch(/[\u0000-\u001f]/);
    // A new generation: the old word counts no more.
    await control.call(ForwardService.method.updateForward, {
      forward: { name: 'states-1', spec: { description: 'changed' } },
      updateMask: { paths: ['spec.description'] },
    });
    expect((await stateOf('states-1')).state).toBe(PlacementState.PENDING);
    session.leave();
    const gone = await watchUntil('states-1', PlacementState.UNKNOWN);
    expect(gone.placements[0]!.conditions.at(-1)).toMatchObject({ type: 'Observed', reason: 'NO_SESSION' });
  });

  it("cannot speak for another gateway's forwards, nor of revisions that it was not told", async () => {
    const agent = await control.agent('gw-liar');
    const other = await control.agent('gw-honest');
    const { uid } = await add('honest-1', 'gw-honest');
    const honest = await synced(other);
    honest.say({
      case: 'status',
      value: { complete: true, placements: [{ forwardUid: uid, generation: 1n, state: PlacementState.ACTIVE }] },
    });
    await watchUntil('honest-1', PlacementState.ACTIVE);
    const liar = await synced(agent);
    liar.say({
      case: 'status',
      value: { complete: true, placements: [{ forwardUid: uid, generation: 1n, state: PlacementState.REJECTED }] },
    });
    liar.say({ case: 'applied', value: { epoch: liar.epoch, revision: 99n } });
    liar.say({ case: 'event', value: { forwardUid: uid, reason: 'DRIFT_REPAIRED', message: 'mine' } });
    await expect
      .poll(async () => (await control.call(EventService.method.listEvents, { gateway: 'gw-liar' })).events.map((e) => e.reason))
      .toContain('DRIFT_REPAIRED');
    expect((await stateOf('honest-1')).state).toBe(PlacementState.ACTIVE);
    const { events } = await control.call(EventService.method.listEvents, { forward: 'honest-1' });
    expect(events).toEqual([]);
    const { status } = await control.call(GatewayService.method.getGateway, { name: 'gw-liar' });
    expect(status!.appliedRevision).toBe(0n);
  });

  it('ends a stream whose Hello names another gateway, and records it', async () => {
    const agent = await control.agent('gw-thief');
    const victim = await control.agent('gw-victim');
    const session = agent.connect({ gatewayUid: victim.gatewayUid });
    expect(await session.end()).toMatchObject({ code: 'ABORTED', reason: 'IDENTITY_MISMATCH' });
    await expect
      .poll(async () => (await control.database.sql.query("SELECT actor FROM audit_entries WHERE result LIKE 'ABORTED%'")).rows)
      .toEqual([{ actor: 'agent:gw-thief' }]);
  });

  it('lets the newest session win', async () => {
    const agent = await control.agent('gw-twice');
    const first = await synced(agent);
    const second = agent.connect({ instanceId: 'b' });
    expect(await first.end()).toMatchObject({ code: 'ABORTED', reason: 'IDENTITY_IN_USE' });
    await second.until(() => second.has('snapshotEnd'));
    const { status } = await control.call(GatewayService.method.getGateway, { name: 'gw-twice' });
    expect(status!.connected).toBe(true);
  });

  it('holds changes back while the gateway is cordoned', async () => {
    const agent = await control.agent('gw-cordon');
    const session = await synced(agent);
    const cordon = (cordoned: boolean) =>
      control.call(GatewayService.method.updateGateway, {
        gateway: { name: 'gw-cordon', cordoned },
        updateMask: { paths: ['cordoned'] },
      });
    await cordon(true);
    await add('cordon-1', 'gw-cordon');
    // Another gateway's change travels the same way at the same time: when it has arrived, ours would have, too.
    const witness = await control.agent('gw-witness');
    const watching = await synced(witness);
    await add('witness-1', 'gw-witness');
    await watching.until(() => watching.revision === 1n);
    expect(session.revision).toBe(0n);
    await cordon(false);
    await session.until(() => session.revision === 1n);
    expect(session.entries.size).toBe(1);
  });

  it('tells what the agent holds back once more, with the word of the operator who asked for that very revision', async () => {
    const agent = await control.agent('gw-held');
    const session = agent.connect();
    // An agent that holds the snapshot back accepts nothing, whatever follows.
    session.answers = false;
    await session.until(() => session.has('snapshotEnd'));
    for (let i = 0; i < 6; i++) await add(`held-${i}`, 'gw-held');
    await session.until(() => session.received.filter((m) => m.case === 'change').length === 3);
    const allow = (revision: bigint) => control.call(GatewayService.method.allowMassRemoval, { name: 'gw-held', revision });
    await expect(allow(5n)).rejects.toMatchObject({ code: 'ABORTED', reason: 'REVISION_PASSED' });
    session.answers = true;
    expect((await allow(6n)).status?.revision).toBe(6n);
    const begins = () => session.received.flatMap((m) => (m.case === 'snapshotBegin' ? [m.value] : []));
    await session.until(() => session.revision === 6n);
    expect(begins().map((b) => [b.revision, b.allowMassRemoval])).toEqual([
      [0n, false],
      [6n, true],
    ]);
    expect(session.entries.size).toBe(6);
    // Accepted: nothing is told twice, and the next revision has no leave.
    await add('held-6', 'gw-held');
    await session.until(() => session.revision === 7n);
    expect(begins()).toHaveLength(2);
    const { rows } = await control.database.sql.query(
      "SELECT after FROM audit_entries WHERE method LIKE '%AllowMassRemoval' AND result = 'OK'",
    );
    expect(rows).toEqual([{ after: { massRemovalRevision: 6 } }]);
    const stranger = agent.connect({ instanceId: 'b' });
    await stranger.until(() => stranger.has('snapshotEnd'));
    const begin = stranger.received.find((m) => m.case === 'snapshotBegin')?.value;
    expect(begin).toMatchObject({ revision: 7n, allowMassRemoval: false });
  });

  it('cuts the session of a deleted gateway, and of one that enrols anew', async () => {
    const agent = await control.agent('gw-deleted');
    const session = await synced(agent);
    await control.call(GatewayService.method.deleteGateway, { name: 'gw-deleted' });
    expect(await session.end()).toMatchObject({ code: 'PERMISSION_DENIED', reason: 'GATEWAY_DELETED' });
    expect(await agent.connect().end()).toMatchObject({ code: 'PERMISSION_DENIED', reason: 'BAD_IDENTITY' });
  });

  it('folds a burst of changes while the agent has not accepted, and leaves nothing out', async () => {
    const agent = await control.agent('gw-burst');
    const session = await synced(agent);
    session.answers = false;
    for (let i = 0; i < 20; i++) await add(`burst-${i}`, 'gw-burst');
    await session.until(() => session.revision >= 4n);
    const before = session.received.filter((m) => m.case === 'change').length;
    expect(before).toBeLessThan(20);
    session.answers = true;
    session.say({ case: 'accepted', value: { epoch: session.epoch, revision: session.revision } });
    await session.until(() => session.revision === 20n);
    expect(session.entries.size).toBe(20);
  });

  it('sends a large desired state in parts of at most 256 KiB', async () => {
    const agent = await control.agent('gw-large');
    const { rows } = await control.database.sql.query("SELECT uid FROM gateways WHERE name = 'gw-large'");
    await control.database.sql.query(
      `WITH f AS (
         INSERT INTO forwards (uid, name, spec) SELECT gen_random_uuid(), 'large-' || i, '{}' FROM generate_series(1, 5000) i RETURNING uid)
       INSERT INTO placements (gateway_uid, forward_uid, generation, desired, hash, revision)
       SELECT $1, uid, 1, decode(repeat('00', 200), 'hex'), '\\x', 1 FROM f`,
      [rows[0].uid],
    );
    const session = await synced(agent);
    expect(session.entries.size).toBe(5000);
    expect(session.received.filter((m) => m.case === 'snapshotPart').length).toBeGreaterThan(3);
  });

  it('ends and bans an agent that floods, and nobody else notices', async () => {
    const agent = await control.agent('gw-flood');
    const session = await synced(agent);
    for (let i = 0; i < 1_000; i++) session.say({ case: 'event', value: { reason: 'NOISE', message: 'x'.repeat(64) } });
    expect(await session.end()).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'TOO_MANY_MESSAGES' });
    expect(await agent.connect().end()).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'BANNED' });
    const other = await control.agent('gw-calm');
    await synced(other);
  });

  it('wants Hello first, and once', async () => {
    const agent = await control.agent('gw-hello');
    const session = await synced(agent);
    session.say({ case: 'hello', value: { gatewayUid: agent.gatewayUid } });
    expect(await session.end()).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'SECOND_HELLO' });
  });
});
