import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { PlacementState } from '@gwctl/proto/gwctl/v1/types_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startControl, type TestControl } from '../testing/control.js';
import { FakeAgent } from '../testing/fake-agent.js';
import { forwardOf } from '../testing/requests.js';

describe('two replicas on one database', () => {
  let one: TestControl;
  let two: TestControl;
  beforeAll(async () => {
    one = await startControl();
    two = await startControl(one);
  });
  afterAll(async () => {
    await two.close();
    await one.close();
  });

  /** The same agent, as it would reach the other replica. */
  const onTwo = (agent: FakeAgent) => FakeAgent.with({ agent, client: two.client });

  it('are one control plane: what is written at one arrives through the other, within a second', async () => {
    const agent = await one.agent('gw-a');
    const session = agent.connect();
    await session.until(() => session.has('snapshotEnd'));
    const began = performance.now();
    const { uid } = await two.call(ForwardService.method.createForward, { forward: forwardOf('a-1', 'gw-a', 80) });
    await session.until(() => session.revision === 1n);
    expect(performance.now() - began).toBeLessThan(1_000);
    const watching = (async () => {
      for await (const f of two.watch(ForwardService.method.watchForward, { name: 'a-1' }))
        if (f.placements[0]?.state === PlacementState.ACTIVE) return performance.now();
      return 0;
    })();
    session.say({
      case: 'status',
      value: { complete: true, placements: [{ forwardUid: uid, generation: 1n, state: PlacementState.ACTIVE }] },
    });
    expect(await watching).toBeGreaterThan(0);
    session.leave();
    await session.end();
  });

  it('let the newest session win wherever the older one is', async () => {
    const agent = await one.agent('gw-b');
    const first = agent.connect();
    await first.until(() => first.has('snapshotEnd'));
    const second = onTwo(agent).connect({ instanceId: 'b' });
    expect(await first.end()).toMatchObject({ code: 'ABORTED', reason: 'IDENTITY_IN_USE' });
    await second.until(() => second.has('snapshotEnd'));
  });

  it('cut a session within 5 s of its revocation at the other one', async () => {
    const agent = await one.agent('gw-c');
    const session = agent.connect();
    await session.until(() => session.has('snapshotEnd'));
    const began = performance.now();
    await two.call(GatewayService.method.deleteGateway, { name: 'gw-c' });
    expect(await session.end()).toMatchObject({ reason: 'GATEWAY_DELETED' });
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  it('say UNKNOWN where a replica died with its sessions', async () => {
    const agent = await one.agent('gw-d');
    const { uid } = await one.call(ForwardService.method.createForward, { forward: forwardOf('d-1', 'gw-d', 80) });
    const session = agent.connect();
    await session.until(() => session.has('snapshotEnd'));
    session.say({
      case: 'status',
      value: { complete: true, placements: [{ forwardUid: uid, generation: 1n, state: PlacementState.ACTIVE }] },
    });
    const state = async () => (await two.call(ForwardService.method.getForward, { name: 'd-1' })).placements[0]!.state;
    await expect.poll(state).toBe(PlacementState.ACTIVE);
    // As the database sees a replica that was killed: no end, no more heartbeats.
    await one.database.sql.query("UPDATE sessions SET heartbeat_time = now() - interval '16 s', replica_uid = gen_random_uuid()");
    expect(await state()).toBe(PlacementState.UNKNOWN);
  });

  it('say GoAway when they leave, end watches, and the agent goes on at the other one', async () => {
    const three = await startControl(one);
    await three.call(GatewayService.method.createGateway, { gateway: { name: 'gw-watched' } });
    const watching = three.watch(GatewayService.method.watchGateway, { name: 'gw-watched' });
    await watching.next();
    const agent = FakeAgent.with({ agent: await one.agent('gw-e'), client: three.client });
    const session = agent.connect();
    await session.until(() => session.has('snapshotEnd'));
    const began = performance.now();
    const told = expect(watching.next()).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'SHUTDOWN' });
    await three.close();
    expect(performance.now() - began).toBeLessThan(3_000);
    expect(performance.now() - began).toBeLessThan(3_000);
    await told;
    await session.end();
    expect(session.has('goAway')).toBe(true);
    const again = onTwo(agent).connect({}, session.held);
    await again.until(() => again.has('resume'));
  });
});
