/** SIGKILL to the agent at random moments while forwards change: it converges each time, with exactly one set of rules. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { World } from '../e2e/world.js';

const ROUNDS = process.env.GWCTL_LONG ? 50 : 8;
let world: World;

beforeAll(async () => {
  world = await World.start({ name: 'killed' });
  await world.serve('gitbucket', '192.168.2.122:10022');
  await world.add('stays', '192.168.1.10:10022', '192.168.2.122:10022', '--wait');
});
afterAll(() => world?.stop());

/** A small generator with a fixed seed (mulberry32), so that a failure can be run again. */
function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

it(`converges ${ROUNDS} times, and the untouched forward loses nothing`, async () => {
  const next = random(20261121);
  const prober = await world.probe('client', '192.168.1.10:10022');
  const api = await world.api();
  const wanted = new Set<number>();
  const change = async () => {
    const port = 20000 + Math.floor(next() * 20);
    if (wanted.has(port)) {
      wanted.delete(port);
      await api.call('ForwardService.DeleteForward', { name: `f${port}` });
    } else {
      wanted.add(port);
      await api.createForward({
        name: `f${port}`,
        gateway: 'gw1',
        listen: `192.168.1.10:${port}`,
        target: '192.168.2.122:10022',
      });
    }
  };
  for (let round = 0; round < ROUNDS; round++) {
    const changes = (async () => {
      for (let i = 0; i < 3; i++) await change();
    })();
    // The moment of the kill is what is random here, relative to the changes that are under way.
    await pause(next() * 600);
    await world.agent.kill('SIGKILL');
    await changes;
    await world.agent.start();
    await world.applied();
    expect(await world.forwardedPorts(), `round ${round}`).toEqual([10022, ...wanted].sort((a, b) => a - b));
    expect(await world.rules.duplicates(), `round ${round}`).toEqual([]);
  }
  const report = await prober.stop();
  expect(report).toMatchObject({ lost: 0, refused: 0, broken: 0 });
}, 600_000);
