import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ip } from '../../testing/placed.js';
import { cidrs } from '../testing.js';
import { anyPair, expectFate, pair } from './pairs.js';
import { type EngineUnderTest, freePorts, type Stage, to, useStage } from './stage.js';

type OnChange = 'drain' | 'cut' | 'keep';

/** What becomes of what exists when a forward changes or goes. */
export function changesSuite(under: EngineUnderTest): void {
  describe('changing', () => {
    const on = useStage(under);

    it.each<[OnChange, boolean]>([
      ['drain', true],
      ['cut', false],
      ['keep', true],
    ])('%s: connections to a target that is gone stay: %s; new ones go to the new target', async (onChange, stays) => {
      const stage = on();
      const [one, two, port] = [await stage.service(), await stage.service(), await freePorts()];
      await stage.carry({ port, targets: [to(one)], onChange });
      const old = await pair(stage, port, one);
      await stage.carry({ port, targets: [to(two)], onChange });
      await expectFate(old, stays);
      await pair(stage, port, two);
    });

    it.each<[OnChange, boolean]>([
      ['drain', false],
      ['cut', false],
      ['keep', true],
    ])('%s: connections to a target that was found down stay: %s', async (onChange, stays) => {
      const stage = on();
      const [one, two, port] = [await stage.service(), await stage.service(), await freePorts()];
      await stage.carry({ port, targets: [to(one), to(two)], onChange });
      const pairs = [
        await anyPair(stage, port, [one, two]),
        await anyPair(stage, port, [one, two]),
        await anyPair(stage, port, [one, two]),
      ];
      await stage.carry({ port, targets: [to(two)], down: [to(one)], onChange });
      for (const each of pairs) await expectFate(each, each.service === two || stays);
    });

    it('ends clients that are no longer allowed, whatever the policy', async () => {
      for (const onChange of ['drain', 'cut', 'keep'] as const) {
        const stage = on();
        const { service, port } = await stage.carried({ onChange, uid: `${stage.uid}-${onChange}` });
        const [eight, nine] = [await pair(stage, port, service, '127.0.0.8'), await pair(stage, port, service, '127.0.0.9')];
        await stage.carry({
          port,
          targets: [to(service)],
          onChange,
          allow: cidrs('127.0.0.8/32'),
          uid: `${stage.uid}-${onChange}`,
        });
        await expectFate(eight, true);
        await expectFate(nine, false);
      }
    });

    it.each<[OnChange, boolean]>([
      ['drain', true],
      ['cut', false],
    ])('%s: connections from another source address stay: %s', async (onChange, stays) => {
      const stage = on();
      const { service, port } = await stage.carried({ onChange });
      const old = await pair(stage, port, service);
      await stage.carry({ port, targets: [to(service)], onChange, source: ip('127.0.0.9') });
      await expectFate(old, stays);
      expect((await pair(stage, port, service)).there.socket.remoteAddress).toBe('127.0.0.9');
    });

    it('opens new ports before it closes old ones, and does not touch those that stay', async () => {
      const stage = on();
      const [service, port] = [(await stage.service()).echo(), await freePorts(3)];
      await stage.carry({ port, last: port + 1, targets: [to(service)] });
      const before = await descriptorsOf(stage, port + 1);
      expect(before.length).toBeGreaterThan(0);
      // The second port's target would shift with the first one; it does not, because the range keeps its distance.
      await stage.carry({ port: port + 1, last: port + 2, targets: [to(service)] });
      expect(await descriptorsOf(stage, port + 1)).toEqual(before);
      expect(await descriptorsOf(stage, port)).toEqual([]);
      await expect(stage.connect(port).ending()).rejects.toThrow('ECONNREFUSED');
      expect(
        (
          await stage
            .connect(port + 1)
            .end('x')
            .rest()
        ).toString(),
      ).toBe('x');
    });

    it('refuses no connect while a listener changes from one address to every address', async () => {
      const stage = on();
      const [service, port] = [(await stage.service()).echo(), await freePorts()];
      await stage.carry({ port, targets: [to(service)] });
      for (let i = 0; i < 6; i++) {
        const change = stage.carry({ address: i % 2 ? '127.0.0.1' : undefined, port, targets: [to(service)] });
        const clients = Array.from({ length: 10 }, () => stage.connect(port).end('x').rest());
        for (const rest of await Promise.all(clients)) expect(rest.toString()).toBe('x');
        await change;
      }
    });

    it('says what is in the way of a listener, and leaves everything as it was', async () => {
      const stage = on();
      const [service, port] = [(await stage.service()).echo(), await freePorts(2)];
      await stage.carry({ port, targets: [to(service)] });
      const taken = await stage.service('127.0.0.1', port + 1);
      const targets = [to(taken)];
      expect(await stage.set({ port, last: port + 1, targets })).toMatchObject({
        reason: 'PORT_IN_USE',
        message: expect.stringContaining(`127.0.0.1:${port + 1}`),
      });
      expect(await stage.set({ address: '192.0.2.77', port, targets })).toMatchObject({
        reason: 'ADDRESS_UNKNOWN',
        message: expect.stringContaining('192.0.2.77'),
      });
      expect(await stage.set({ port, targets, interface: 'gwctl-none0' })).toMatchObject({
        reason: 'INTERFACE_UNKNOWN',
        message: expect.stringContaining('gwctl-none0'),
      });
      expect((await stage.connect(port).end('still').rest()).toString()).toBe('still');
      expect(taken.peers).toEqual([]);
      expect((await stage.engine.listening()).map((l) => l.port)).not.toContain(port + 1);
    });

    it('takes no port from a program that would share it', async () => {
      const stage = on();
      const [service, port] = [await stage.service(), await freePorts()];
      const sharing = createServer().listen({ host: '127.0.0.1', port, reusePort: true });
      stage.later(() => void sharing.close());
      await once(sharing, 'listening');
      expect(await stage.set({ port, targets: [to(service)] })).toMatchObject({ reason: 'PORT_IN_USE' });
      const datagrams = createSocket({ type: 'udp4', reusePort: true });
      stage.later(() => void datagrams.close());
      datagrams.bind(port, '127.0.0.1');
      await once(datagrams, 'listening');
      expect(await stage.set({ port, transports: ['udp'], targets: [to(service)] })).toMatchObject({ reason: 'PORT_IN_USE' });
    });

    it('listens on one interface, or says that it cannot', async () => {
      const stage = on();
      const [service, port] = [(await stage.service()).echo(), await freePorts()];
      const words = { address: undefined, interface: 'lo', port, targets: [to(service)] };
      if (under.interfaces) {
        await stage.carry(words);
        expect((await stage.connect(port).end('x').rest()).toString()).toBe('x');
        const mine = (await stage.engine.listening()).filter((l) => l.port === port);
        expect(new Set(mine.map((l) => l.interface))).toEqual(new Set(['lo']));
      } else {
        expect(await stage.set(words)).toMatchObject({
          reason: 'LISTEN_FAILED',
          message: expect.stringContaining('interface lo'),
        });
      }
    });

    it.each<[OnChange, boolean]>([
      ['drain', true],
      ['cut', false],
      ['keep', true],
    ])('%s: connections of a forward that is removed stay: %s', async (onChange, stays) => {
      const stage = on();
      const { service, port } = await stage.carried({ onChange });
      const old = await pair(stage, port, service);
      await stage.engine.remove(stage.uid);
      await expect(stage.connect(port).ending()).rejects.toThrow('ECONNREFUSED');
      await expectFate(old, stays);
      expect((await stage.engine.counts()).map((c) => c.uid)).not.toContain(stage.uid);
      expect((await stage.engine.listening()).map((l) => l.port)).not.toContain(port);
    });

    it('takes a removal of what it does not have', async () => {
      await on().engine.remove('never there');
    });
  });

  describe('leaving', () => {
    const on = useStage(under);

    it('drains: what exists goes on to its end, and then it is done', async () => {
      const stage = on();
      const [service, port] = [await stage.service(), await freePorts()];
      const engine = await under.open({ inherited: [] });
      stage.later(() => void engine.stop());
      await engine.set(stage.forward({ port, targets: [to(service)] }));
      const old = await pair(stage, port, service);
      let done = false;
      const drained = engine.drain().then(() => {
        done = true;
      });
      await expectFate(old, true);
      expect(done).toBe(false);
      expect(await engine.counts()).toMatchObject([{ uid: stage.uid, open: 1 }]);
      old.client.end();
      old.there.end();
      await drained;
      expect((await engine.use()).connections).toBe(0);
    });

    it('stops: everything ends at once', async () => {
      const stage = on();
      const [service, port] = [await stage.service(), await freePorts()];
      const engine = await under.open({ inherited: [] });
      await engine.set(stage.forward({ port, targets: [to(service)] }));
      const { client, there } = await pair(stage, port, service);
      await engine.stop();
      expect(await Promise.all([client.ending(), there.ending()])).toEqual(['reset', 'reset']);
      await expect(stage.connect(port).ending()).rejects.toThrow('ECONNREFUSED');
    });
  });
}

const descriptorsOf = async (stage: Stage, port: number): Promise<readonly number[]> =>
  (await stage.engine.listening()).filter((l) => l.port === port).map((l) => l.fd);
