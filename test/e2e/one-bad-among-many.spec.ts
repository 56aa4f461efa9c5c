/** One bad forward among a hundred: 99 work, the bad one is REJECTED with the field and the reason. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { World } from './world.js';

let world: World;
beforeAll(async () => {
  world = await World.start({ name: 'bad-one' });
  await world.serve('gitbucket', '192.168.2.122:10022');
});
afterAll(() => world?.stop());

it('refuses the one and carries the ninety-nine', async () => {
  const socket = await world.serve('gw1', '192.168.1.10:30050');
  const api = await world.api();
  const add = (port: number) =>
    api.createForward({ name: `f${port}`, gateway: 'gw1', listen: `192.168.1.10:${port}`, target: '192.168.2.122:10022' });
  for (let port = 30000; port < 30100; port++) await add(port);
  await world.applied();

  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => world.ask('client', `192.168.1.10:${30000 + i}`)));
  answers.forEach((answer, i) => {
    // The local socket keeps its own port; everything else arrives at the target.
    expect(answer, `port ${30000 + i}`).toMatchObject({ local: i === 50 ? '192.168.1.10:30050' : '192.168.2.122:10022' });
  });

  const bad = JSON.parse((await world.gwctl(['forward', 'get', 'f30050', '-o', 'json'])).stdout);
  expect(bad.status.placements[0]).toMatchObject({
    state: 'REJECTED',
    violations: [{ field: expect.stringContaining('listen.ports'), description: expect.stringContaining('30050') }],
  });
  const text = (await world.gwctl(['forward', 'get', 'f30050'])).stdout;
  expect(text).toMatch(/REJECTED/);
  expect(text).toMatch(/30050.*in use/is);
  const states = JSON.parse((await world.gwctl(['forward', 'list', '-o', 'json'])).stdout).items.map(
    (f: { status: { placements: { state: string }[] } }) => f.status.placements[0]?.state,
  );
  expect(states.filter((s: string) => s === 'ACTIVE')).toHaveLength(99);
  await socket.stop();
});
