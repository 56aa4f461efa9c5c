import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FlowLab, lives } from './flow-lab.js';
import { egress, forward } from './forwards.js';
import { join, NETS } from './net.js';
import { DRIVERS } from './topology.js';

/** What passed, by forward: a forward that says it carries nothing is believed. */
describe.each(DRIVERS)('counters of %s', (driver) => {
  let world: FlowLab;
  beforeAll(async () => {
    world = await FlowLab.start(driver);
  });
  afterEach(() => world.reset());
  afterAll(() => world?.stop());

  describe.each(NETS)('$label', (net) => {
    const listen = (port: number | string, protocol: string) => `${join(net.vip, port)}/${protocol}`;
    const counted = async (name: string) => (await world.gateway.count())[name] ?? { packets: 0, bytes: 0, flows: 0, refused: 0 };

    it('flows, packets and bytes of both directions, each forward its own', async () => {
      const { ask, connect } = world.of(net);
      await world.gateway.want([
        forward(listen(443, 'tcp'), join(net.t10, 8443), { name: 'busy' }),
        forward(listen(444, 'tcp'), join(net.t10, 8443), { name: 'idle' }),
        forward(listen('7000-7010', 'udp'), join(net.t31, 7000), { name: 'range' }),
        forward(listen(8080, 'tcp'), [join(net.t31, 80), join(net.t50, 80)], { name: 'pool' }),
        forward('53/udp', join(net.t20, 5353), { name: 'any' }),
      ]);
      for (let i = 0; i < 5; i++) await ask();
      for (let i = 0; i < 3; i++) await ask({ proto: 'udp', port: 7000 + i });
      for (let i = 0; i < 10; i++) await ask({ port: 8080 });
      for (let i = 0; i < 2; i++) await ask({ proto: 'udp', to: net.wan, port: 53 });
      const flow = await connect();
      const before = await counted('busy');
      expect(await flow.echo('x'.repeat(5000))).toBe('echoed');
      const after = await counted('busy');
      expect(after.flows).toBe(6);
      // Sent and echoed; the headers come on top.
      expect(after.bytes - before.bytes).toBeGreaterThan(10_000);
      expect(after.packets).toBeGreaterThan(before.packets);
      expect(await counted('idle')).toMatchObject({ packets: 0, bytes: 0, flows: 0, refused: 0 });
      expect(await counted('range')).toMatchObject({ packets: 6, flows: 3, refused: 0 });
      expect(await counted('pool')).toMatchObject({ flows: 10 });
      expect(await counted('any')).toMatchObject({ packets: 4, flows: 2 });
    });

    it('what the allow-list refused', async () => {
      const { ask } = world.of(net);
      await world.gateway.want([
        forward(listen(443, 'udp'), join(net.t10, 8443), { name: 'guarded', allow: [net.half] }),
        forward(listen(444, 'udp'), join(net.t10, 8443), { name: 'open' }),
      ]);
      await ask({ proto: 'udp' });
      for (let i = 0; i < 3; i++) await ask({ proto: 'udp', from: net.cli66 });
      await ask({ proto: 'udp', port: 444, from: net.cli66 });
      expect(await counted('guarded')).toMatchObject({ packets: 2, flows: 1, refused: 3 });
      expect(await counted('open')).toMatchObject({ packets: 2, flows: 1, refused: 0 });
    });

    it('all protocols of an address, and egress', async () => {
      const bare = (address: string) => (net.family === 4 ? address : `[${address}]`);
      await world.gateway.want([forward(`${bare(net.nobody)}/all`, bare(net.t10), { name: 'all' })], {
        egresses: [egress('out', { sources: [net.lanNet], out: 'wan' })],
      });
      await world.of(net).ask({ proto: 'udp', to: net.nobody, port: 80 });
      await world.lab.host('srv').ask({ proto: 'udp', to: net.cli, port: 8080, from: net.t20, timeoutMs: 300 });
      expect(await counted('all')).toMatchObject({ packets: 2, flows: 1 });
      expect(await counted('out')).toMatchObject({ packets: 2, flows: 1 });
    });

    it('a change of others, and a restart of the agent, lose no count', async () => {
      const { ask, connect } = world.of(net);
      const busy = forward(listen(443, 'tcp'), join(net.t10, 8443), { name: 'busy' });
      await world.gateway.want([busy]);
      for (let i = 0; i < 4; i++) await ask();
      const flow = await connect();
      const before = await counted('busy');
      expect(before.flows).toBe(5);
      const more = [busy, forward(listen(444, 'tcp'), join(net.t10, 8443), { allow: [net.half] })];
      await world.gateway.want(more);
      await world.gateway.want([busy]);
      await world.restart();
      await world.gateway.want(more);
      expect(await lives(flow)).toBe('echoed');
      const after = await counted('busy');
      expect(after.flows).toBe(5);
      expect(after.packets).toBeGreaterThan(before.packets);
    });
  });
});
