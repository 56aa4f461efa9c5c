import { describe, expect, it } from 'vitest';
import { cidrs } from '../testing.js';
import { Blackhole } from './blackhole.js';
import { type EngineUnderTest, freePorts, type Stage, to, useStage } from './stage.js';
import { eventually } from './waiting.js';

/** Who is let in, and which target it gets. */
export function connectingSuite(under: EngineUnderTest): void {
  describe('letting in and choosing', () => {
    const on = useStage(under);

    it('resets who is not allowed at once, and connects to nothing for it', async () => {
      const stage = on();
      const [service, port] = [(await stage.service()).echo(), await freePorts()];
      await stage.carry({ port, targets: [to(service)], allow: cidrs('127.0.0.8/32', '10.0.0.0/8') });
      const refused = stage.connect(port, { from: '127.0.0.9' }).send('let me in');
      expect(await refused.ending()).toBe('reset');
      expect(refused.received).toBe(0);
      expect((await stage.connect(port, { from: '127.0.0.8' }).end('x').rest()).toString()).toBe('x');
      expect(service.peers).toHaveLength(1);
      await stage.until('it is counted', (c) => c.refused === 1 && c.flows === 1 && c.open === 0);
      await stage.carry({ port, targets: [to(service)], allow: [] });
      expect(await stage.connect(port, { from: '127.0.0.8' }).ending()).toBe('reset');
    });

    it('lets in as many as the forward allows, and others again when one left', async () => {
      const stage = on();
      const { service, port } = await stage.carried({ maxConnections: 2 });
      const clients = [stage.connect(port), stage.connect(port)];
      const [first] = await Promise.all([service.next(), service.next()]);
      expect(await stage.connect(port).ending()).toBe('reset');
      await stage.until('it is counted', (c) => c.limited === 1 && c.open === 2);
      for (const client of clients) client.end();
      first?.end();
      await first?.ending();
      await stage.until('one has left', (c) => c.open === 1);
      stage.connect(port).send('x');
      expect(await (await service.next()).read(1)).toBe('x');
    });

    it('lets in as many of one client as the forward allows', async () => {
      const stage = on();
      const { service, port } = await stage.carried({ maxConnectionsPerClient: 1 });
      stage.connect(port, { from: '127.0.0.8' });
      await service.next();
      expect(await stage.connect(port, { from: '127.0.0.8' }).ending()).toBe('reset');
      stage.connect(port, { from: '127.0.0.9' }).send('x');
      expect(await (await service.next()).read(1)).toBe('x');
      await stage.until('it is counted', (c) => c.limited === 1 && c.open === 2);
    });

    it('tries another target once when one refuses, and says so', async () => {
      const stage = on();
      const [service, port, nobody] = [(await stage.service()).echo(), await freePorts(), await freePorts()];
      const dead = to({ address: '127.0.0.2', port: nobody }, 100);
      await stage.carry({ port, targets: [dead, to(service)] });
      for (let i = 0; i < 5; i++) expect((await stage.connect(port).end('x').rest()).toString()).toBe('x');
      await stage.changed();
      const { failed, targets } = await stage.until('nothing is open', (c) => c.open === 0);
      expect(failed).toBe(0);
      expect(targets).toMatchObject([{ health: 'unhealthy' }, { health: 'healthy' }]);
      expect(targets[0]?.trouble).toContain('refuse');
    });

    it('resets the client when no target can be reached', async () => {
      const stage = on();
      const [port, nobody] = [await freePorts(), await freePorts()];
      await stage.carry({
        port,
        targets: ['127.0.0.2', '127.0.0.3', '127.0.0.4'].map((address) => to({ address, port: nobody })),
      });
      expect(await stage.connect(port).send('x').ending()).toBe('reset');
      const { targets } = await stage.until('it is counted', (c) => c.failed === 1 && c.open === 0);
      expect(targets.filter((t) => t.health === 'unhealthy')).toHaveLength(2);
    });

    it('gives up a target that does not answer in time', async () => {
      const stage = on();
      const [port, hole] = [await freePorts(), await blackhole(stage)];
      await stage.carry({ port, targets: [to(hole)], connectTimeout: 120 });
      const began = performance.now();
      expect(await stage.connect(port).ending()).toBe('reset');
      expect(performance.now() - began).toBeGreaterThan(110);
      const { targets } = await stage.until('it is counted', (c) => c.failed === 1 && c.open === 0);
      expect(targets).toMatchObject([{ health: 'unhealthy' }]);
      expect(targets[0]?.trouble).toContain('120 ms');
    });

    it('goes on with another target after one did not answer in time', async () => {
      const stage = on();
      const [service, port, hole] = [(await stage.service()).echo(), await freePorts(), await blackhole(stage)];
      await stage.carry({ port, targets: [to(hole, 100), to(service)], connectTimeout: 120 });
      expect((await stage.connect(port).end('x').rest()).toString()).toBe('x');
      expect((await stage.counts()).targets).toMatchObject([{ health: 'unhealthy' }, { health: 'healthy' }]);
    });

    it('forgets a client that leaves while its target is tried', async () => {
      const stage = on();
      const [port, hole] = [await freePorts(), await blackhole(stage)];
      await stage.carry({ port, targets: [to(hole)], connectTimeout: 150 });
      const client = stage.connect(port);
      await stage.until('it is tried', (c) => c.open === 1);
      client.reset();
      await stage.until('it is forgotten', (c) => c.open === 0);
    });

    it('shares connections out by weight', async () => {
      const stage = on();
      const [port, one, two] = [await freePorts(), (await stage.service()).echo(), (await stage.service()).echo()];
      await stage.carry({ port, targets: [to(one, 3), to(two, 1)] });
      for (let i = 0; i < 40; i++) await stage.connect(port).end('x').rest();
      // Each thread of an engine shares out what it accepts, so a few more or less are right.
      expect(one.peers.length).toBeGreaterThanOrEqual(26);
      expect(one.peers.length).toBeLessThanOrEqual(34);
      expect(one.peers.length + two.peers.length).toBe(40);
    });

    it('keeps a client at its target where that is wanted', async () => {
      const stage = on();
      const port = await freePorts();
      const services = await Promise.all([1, 2, 3].map(async () => (await stage.service()).echo()));
      await stage.carry({ port, targets: services.map((s) => to(s)), affinity: 'client' });
      const used = new Set<number>();
      for (let client = 2; client < 14; client++) {
        const before = services.map((s) => s.peers.length);
        for (let i = 0; i < 4; i++)
          await stage
            .connect(port, { from: `127.0.0.${client}` })
            .end('x')
            .rest();
        const gained = services.map((s, i) => s.peers.length - (before[i] ?? 0));
        expect([...gained].sort()).toEqual([0, 0, 4]);
        used.add(gained.indexOf(4));
      }
      expect(used.size).toBeGreaterThan(1);
    });

    it('accepts no more than its descriptors allow, and goes on when some are free', async () => {
      const stage = on();
      const [service, port] = [(await stage.service()).echo(), await freePorts()];
      const roomy = await under.open({ inherited: [] });
      const { descriptors, descriptorLimit } = await roomy.use();
      await roomy.stop();
      const engine = await under.open({ inherited: [], threads: 1, reserve: descriptorLimit - descriptors - 60 });
      stage.later(() => void engine.stop());
      expect(await engine.set(stage.forward({ port, targets: [to(service)] }))).toBeUndefined();
      const first = stage.connect(port).send('x');
      await first.read(1);
      const crowd = Array.from({ length: 80 }, () => stage.connect(port));
      await eventually('accepting rests', async () => (await engine.use()).paused);
      expect((await engine.use()).connections).toBeLessThan(60);
      expect(await first.send('y').read(1)).toBe('y');
      for (const client of crowd) client.reset();
      await eventually('it accepts again', async () => {
        const late = stage.connect(port).end('z');
        return (await late.ending().catch(() => 'error')) === 'end' && late.received === 1;
      });
    });
  });
}

async function blackhole(stage: Stage): Promise<Blackhole> {
  const hole = await Blackhole.open();
  stage.later(() => void hole.close());
  return hole;
}
