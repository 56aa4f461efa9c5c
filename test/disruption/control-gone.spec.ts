/** The control plane and its database gone: what is forwarded stays forwarded, and comes back from disk. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { World } from '../e2e/world.js';
import { waitFor } from '../lab/index.js';

let world: World;

beforeEach(async () => {
  world = await World.start({ name: 'gone' });
  await world.serve('gitbucket', '192.168.2.122:10022');
  await world.add('ssh', '192.168.1.10:10022', '192.168.2.122:10022', '--wait');
});
afterEach(() => world?.stop());

describe('control plane and PostgreSQL killed with SIGKILL', () => {
  it('loses no probe, and the rules stay byte for byte', async () => {
    const prober = await world.probe('client', '192.168.1.10:10022');
    const before = await world.rules.all();
    await world.control.killWithDatabase();
    await waitFor(async () => !(await world.agent.status()).controlPlane.connected, {
      what: 'the agent noticed',
      timeoutMs: 40_000,
      intervalMs: 100,
    });
    // Two seconds of probes at a hundred a second, with nobody there to help.
    await pause(2_000);
    const report = await prober.stop();
    expect(report).toMatchObject({ lost: 0, refused: 0, broken: 0 });
    expect(await world.rules.all()).toEqual(before);
  });

  it('takes changes again when it is back, with every acknowledged write', async () => {
    await world.control.killWithDatabase();
    await world.control.start();
    await world.add('web', '192.168.1.10:8080', '192.168.2.122:10022', '--wait=40s');
    expect((await world.gwctl(['forward', 'list', '-o', 'name'])).stdout.trim().split('\n').sort()).toEqual(['ssh', 'web']);
  });

  it('after a reboot the agent brings the forwards back from disk within 10 s, and says so', async () => {
    await world.control.killWithDatabase();
    await world.lab.reboot('gw1');
    expect(await world.ask('client', '192.168.1.10:10022')).toBe('refused');
    const started = performance.now();
    await world.agent.start({ awaitSession: false });
    await world.reaches('client', '192.168.1.10:10022');
    expect(performance.now() - started).toBeLessThan(10_000);
    const status = await world.agent.status();
    expect(status.desired.source).toBe('disk');
    expect(status.controlPlane).toMatchObject({ connected: false, since: expect.stringMatching(/^\d{4}-/) });
    const text = (await world.agent.command(['status'])).stdout;
    expect(text).toMatch(/from disk/i);
  });
});
