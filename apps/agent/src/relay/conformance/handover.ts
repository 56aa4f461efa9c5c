import { describe, expect, it } from 'vitest';
import { F_DUPFD_CLOEXEC } from '../../system/native/constants.js';
import { loadRelayLibc } from '../../system/native/relay-libc.js';
import type { Engine, ListeningSocket } from '../engine.js';
import { type EngineUnderTest, freePorts, type Stage, to, useStage } from './stage.js';

/** Listening sockets go from one engine to its successor: nobody is refused, and what exists goes on to its end. */
export function handoverSuite(under: EngineUnderTest): void {
  describe('handing over', () => {
    const on = useStage(under);

    it('refuses nobody and cuts nobody while a successor takes over', async () => {
      const stage = on();
      const [port, first] = [await freePorts(2), await freePorts(2)];
      for (const each of [first, first + 1]) (await stage.service('127.0.0.1', each)).echo();
      const forward = stage.forward({ port, last: port + 1, targets: [to({ address: '127.0.0.1', port: first })] });
      const old = await opened(stage, under, []);
      expect(await old.set(forward)).toBeUndefined();
      const held = stage.connect(port).send('x');
      expect(await held.read(1)).toBe('x');
      const next = await opened(stage, under, passedOn(await old.listening()));
      expect(await next.set(forward)).toBeUndefined();
      const during = served(stage, [port, port + 1], 20);
      let gone = false;
      const drained = old.drain().then(() => {
        gone = true;
      });
      await Promise.all([...during, ...served(stage, [port, port + 1], 20)]);
      expect(await held.send('y').read(1)).toBe('y');
      expect(gone).toBe(false);
      expect((await held.end().rest()).toString()).toBe('');
      await drained;
      await old.stop();
      await Promise.all(served(stage, [port, port + 1], 5));
      expect((await next.counts()).map((c) => c.uid)).toEqual([stage.uid]);
    });

    it('gives what it does not have any more to nobody', async () => {
      const stage = on();
      const [service, port] = [(await stage.service()).echo(), await freePorts()];
      const old = await opened(stage, under, []);
      await old.set(stage.forward({ port, targets: [to(service)] }));
      const next = await opened(stage, under, passedOn(await old.listening()));
      await next.set(stage.forward({ port, targets: [to(service)] }));
      await old.drain();
      await old.stop();
      await next.remove(stage.uid);
      await expect(stage.connect(port).ending()).rejects.toThrow('ECONNREFUSED');
    });

    it('answers UDP clients of the old one, and of the new one', async () => {
      const stage = on();
      const [there, port] = [(await stage.datagrams()).echo(), await freePorts()];
      const forward = stage.forward({ port, transports: ['udp'], targets: [to(there)], udpIdleTimeout: 300 });
      const listener = { address: '127.0.0.1', port };
      const old = await opened(stage, under, []);
      await old.set(forward);
      const client = await stage.datagrams();
      client.send('one', listener);
      expect(await client.text()).toBe('one');
      const next = await opened(stage, under, passedOn(await old.listening()));
      expect(await next.set(forward)).toBeUndefined();
      const drained = old.drain();
      // Until the old one has stopped to receive, either may get it; none may lose it.
      for (let i = 0; i < 20; i++) {
        client.send(`${i}`, listener);
        expect(await client.next()).toMatchObject({ data: Buffer.from(`${i}`), port });
      }
      await drained;
      await old.stop();
      client.send('last', listener);
      expect(await client.text()).toBe('last');
      expect((await next.counts()).map((c) => [c.uid, c.flows > 0])).toEqual([[stage.uid, true]]);
    });

    it.each(['drain', 'cut'] as const)(
      'serves who is new at a port whose former clients the old one answers: %s',
      async (onChange) => {
        const stage = on();
        const [there, fresh, known, port] = [
          await stage.datagrams(),
          (await stage.datagrams()).echo(),
          await stage.datagrams(),
          await freePorts(),
        ];
        const words = { port, transports: ['udp'] as const, onChange };
        const [forward, listener] = [stage.forward({ ...words, targets: [to(there)] }), { address: '127.0.0.1', port }];
        const old = await opened(stage, under, []);
        await old.set(forward);
        known.send('x', listener);
        const from = await there.next();
        const next = await opened(stage, under, passedOn(await old.listening()));
        expect(await next.set(forward)).toBeUndefined();
        const drained = old.drain();
        // What is asked after it is answered after it has stopped to receive.
        await old.use();
        await next.remove(stage.uid);
        const everywhere = { ...words, uid: 'everywhere', address: undefined, targets: [to(fresh)] };
        expect(await next.set(stage.forward(everywhere))).toBeUndefined();
        for (let i = 0; i < 8; i++) {
          const client = await stage.datagrams();
          client.send('new', listener);
          expect(await client.next()).toMatchObject({ data: Buffer.from('new'), ...listener });
        }
        there.send('late', from);
        expect(await known.text()).toBe('late');
        await old.stop();
        await drained.catch(() => undefined);
      },
    );
  });
}

async function opened(stage: Stage, under: EngineUnderTest, inherited: readonly ListeningSocket[]): Promise<Engine> {
  const engine = await under.open({ inherited });
  stage.later(() => void engine.stop());
  return engine;
}

function passedOn(sockets: readonly ListeningSocket[]): readonly ListeningSocket[] {
  expect(sockets.length).toBeGreaterThan(0);
  const libc = loadRelayLibc();
  return sockets.map((socket) => {
    // Another descriptor of the same socket, as one that another process passed on.
    const fd = libc.fcntl(socket.fd, F_DUPFD_CLOEXEC, 0);
    expect(fd).toBeGreaterThan(0);
    return { ...socket, fd };
  });
}

/** Clients, as many for each port, that were served when their promise resolves. */
function served(stage: Stage, ports: readonly number[], count: number): readonly Promise<void>[] {
  return ports.flatMap((port) =>
    Array.from({ length: count }, async () => {
      expect((await stage.connect(port).end('x').rest()).toString()).toBe('x');
    }),
  );
}
