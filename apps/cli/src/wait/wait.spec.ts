import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { ConditionSchema, ConditionStatus, FieldViolationSchema, PlacementState } from '@gwctl/proto/gwctl/v1/types_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeControlPlane } from '../testing/fake-control-plane.js';
import { ADD, Sandbox } from '../testing/run.js';

let fake: FakeControlPlane;
let sandbox: Sandbox;

beforeEach(async () => {
  fake = await FakeControlPlane.start();
  sandbox = await Sandbox.make();
  await sandbox.logIn(fake);
  fake.addGateway('gw1', { site: 'tokyo' });
});

afterEach(async () => {
  fake.stop();
  await sandbox.remove();
});

/** Starts a command and comes back once it watches. */
async function watching(words: string, method = 'WatchForward') {
  const watched = fake.server.nextCall(method);
  const done = sandbox.run(words);
  await watched;
  return done;
}

/** As {@link watching}, with what the agents do meanwhile. */
async function during(words: string, act: () => void, method = 'WatchForward') {
  const watched = fake.server.nextCall(method);
  const done = sandbox.run(words);
  await watched;
  act();
  return done;
}

describe('forward add --wait', () => {
  it('succeeds once the agent says ACTIVE of this generation', async () => {
    const result = await during(`${ADD} --wait -o name`, () => fake.agentSays('web', 'gw1', { state: PlacementState.ACTIVE }));
    expect(result).toMatchObject({ code: 0, stdout: 'web\n' });
    expect(result.stderr).toContain('forward web is ACTIVE on gw1 (iptables-nft)');
  });

  it('succeeds when the agent was faster than the watch', async () => {
    const created = fake.server.nextCall('CreateForward');
    const done = sandbox.run(`${ADD} --wait`);
    await created;
    // The call is noted before it is handled; both happen before the watch can arrive.
    queueMicrotask(() => fake.agentSays('web', 'gw1', { state: PlacementState.ACTIVE }));
    expect((await done).code).toBe(0);
  });

  it('does not take PENDING, UNKNOWN, DEGRADED or an older generation for success', async () => {
    const result = await during(`${ADD} --wait=10s`, () => {
      fake.agentSays('web', 'gw1', { state: PlacementState.PENDING });
      fake.agentSays('web', 'gw1', { state: PlacementState.UNKNOWN });
      fake.agentSays('web', 'gw1', { state: PlacementState.ACTIVE, observedGeneration: 0n });
      fake.agentSays('web', 'gw1', {
        state: PlacementState.DEGRADED,
        conditions: [
          create(ConditionSchema, {
            type: 'TargetHealthy',
            status: ConditionStatus.FALSE,
            reason: 'REFUSED',
            message: 'connection refused',
          }),
        ],
      });
      // The notice asks about the gateway on the same connection, so its call comes after all that was sent above was read.
      const asked = fake.server.nextCall('GetGateway');
      sandbox.clock.advance(2000);
      void asked.then(() => sandbox.clock.advance(8000));
    });
    expect(result.code).toBe(6);
    expect(result.stderr).not.toContain('is ACTIVE');
    expect(result.stderr).toContain('was not confirmed by every agent within 10s');
  });

  it('ends with exit code 1 and the reasons when the agent rejects it, without waiting for the time-out', async () => {
    const result = await during(`${ADD} --wait`, () =>
      fake.agentSays('web', 'gw1', {
        state: PlacementState.REJECTED,
        violations: [
          create(FieldViolationSchema, {
            field: 'spec.listen.ports',
            description: '8080 is used by a local socket; choose another',
          }),
        ],
      }),
    );
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('gw1: REJECTED');
    expect(result.stderr).toContain('--listen: 8080 is used by a local socket; choose another');
    expect(result.stdout).toBe('');
  });

  it('names since when the gateway has been offline when the time is over', async () => {
    const { status } = fake.gateway('gw1');
    Object.assign(status!, { connected: false, lastSeenTime: timestampFromMs(Date.UTC(2026, 0, 2, 11)) });
    const result = await during(`${ADD} --wait`, () => sandbox.clock.advance(30_000));
    expect(result.code).toBe(6);
    expect(result.stderr).toContain('gw1: UNKNOWN; gateway gw1 has been offline since 2026-01-02T11:00:00Z (60m ago)');
  });

  it('says after a moment what it waits for', async () => {
    const { status } = fake.gateway('gw1');
    Object.assign(status!, { connected: false, enrolled: false });
    const asked = fake.server.nextCall('GetGateway');
    const result = await during(`${ADD} --wait`, () => {
      sandbox.clock.advance(2000);
      void asked.then(() => setImmediate(() => fake.agentSays('web', 'gw1', { state: PlacementState.ACTIVE })));
    });
    expect(result.code).toBe(0);
  });

  it('goes on when the control plane goes away and comes back', async () => {
    const watched = fake.server.nextCall('WatchForward');
    const done = sandbox.run(`${ADD} --wait`);
    await watched;
    fake.server.answerNext('WatchForward', {
      fails: new AppError({ code: 'UNAVAILABLE', reason: 'DRAINING', message: 'the control plane is leaving' }),
    });
    const firstPause = sandbox.clock.nextTimer(500);
    fake.server.endWatches();
    await firstPause;
    const second = fake.server.nextCall('WatchForward');
    sandbox.clock.advance(500);
    await second;
    await sandbox.clock.nextTimer(500);
    const third = fake.server.nextCall('WatchForward');
    sandbox.clock.advance(500);
    await third;
    fake.agentSays('web', 'gw1', { state: PlacementState.ACTIVE });
    const result = await done;
    expect(result.code).toBe(0);
    expect(result.stderr).toContain('still waiting, but the control plane is leaving');
  });

  it('ends at once where no gateway matches', async () => {
    const result = await watching('forward add web --selector site=mars --listen 8080 --target 198.51.100.2:80 --wait');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('no gateway matches');
  });

  it('is partly done where some gateways reject it', async () => {
    fake.addGateway('gw2', { site: 'tokyo' });
    const result = await during('forward add web --selector site=tokyo --listen 8080 --target 198.51.100.2:80 --wait', () => {
      fake.agentSays('web', 'gw1', { state: PlacementState.ACTIVE });
      fake.agentSays('web', 'gw2', { state: PlacementState.REJECTED });
    });
    expect(result.code).toBe(7);
    expect(result.stderr).toContain('in place on gw1, but not everywhere');
    expect(result.stderr).toContain('gw2: REJECTED');
  });

  it('stops at Ctrl-C with 130 and says that the change stays', async () => {
    const result = await during(`${ADD} --wait`, () => sandbox.interrupt());
    expect(result.code).toBe(130);
    expect(result.stderr).toContain('the change of forward web is stored and goes on');
    expect(fake.forwards.has('web')).toBe(true);
  });

  it('says 3 when somebody deletes the forward meanwhile', async () => {
    const result = await during(`${ADD} --wait`, () => {
      fake.forwards.delete('web');
      fake.server.changed();
    });
    expect(result.code).toBe(3);
  });
});

describe('set, enable and disable --wait', () => {
  beforeEach(async () => {
    await sandbox.run(ADD);
    fake.agentSays('web', 'gw1', { state: PlacementState.ACTIVE });
  });

  it('set waits for the new generation, not for the old one that is ACTIVE', async () => {
    const result = await during('forward set web --target 198.51.100.3:80 --wait', () =>
      fake.agentSays('web', 'gw1', { state: PlacementState.ACTIVE }),
    );
    expect(result.code).toBe(0);
    expect(fake.forward('web').generation).toBe(2n);
  });

  it('set times out while the agent only knows the old generation', async () => {
    const result = await during('forward set web --target 198.51.100.3:80 --wait', () => sandbox.clock.advance(30_000));
    expect(result.code).toBe(6);
    expect(result.stderr).toContain('gw1: PENDING; gateway gw1 is online');
  });

  it('disable waits for DISABLED, enable for ACTIVE', async () => {
    const disabled = await during('forward disable web --wait', () =>
      fake.agentSays('web', 'gw1', { state: PlacementState.DISABLED }),
    );
    expect(disabled).toMatchObject({ code: 0 });
    expect(disabled.stderr).toContain('forward web is DISABLED on gw1');
    const enabled = await during('forward enable web --wait', () =>
      fake.agentSays('web', 'gw1', { state: PlacementState.ACTIVE }),
    );
    expect(enabled.code).toBe(0);
  });

  it('follows a forward that somebody else changes meanwhile', async () => {
    const result = await during('forward set web --owner a --wait', () => {
      const stored = fake.forward('web');
      stored.generation += 1n;
      fake.agentSays('web', 'gw1', { state: PlacementState.ACTIVE, observedGeneration: stored.generation - 1n });
      fake.agentSays('web', 'gw1', { state: PlacementState.ACTIVE });
    });
    expect(result.code).toBe(0);
    expect(result.stderr).toContain('forward web was changed again meanwhile');
  });
});

describe('forward delete --wait', () => {
  beforeEach(async () => {
    await sandbox.run(ADD);
  });

  it('succeeds once the agent has applied the revision of the deletion', async () => {
    const result = await during('forward delete web --wait', () => fake.agentApplied('gw1', 2), 'WatchGateway');
    expect(result.code).toBe(0);
    expect(result.stderr).toContain('forward web is gone from gw1');
  });

  it('does not take an earlier revision for it', async () => {
    const result = await during(
      'forward delete web --wait=5s',
      () => {
        fake.agentApplied('gw1', 1);
        sandbox.clock.advance(5000);
      },
      'WatchGateway',
    );
    expect(result.code).toBe(6);
    expect(result.stderr).toContain('gw1 did not confirm within 5s that it is gone');
  });
});
