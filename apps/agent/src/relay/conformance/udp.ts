import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ip } from '../../testing/placed.js';
import { cidrs } from '../testing.js';
import type { Datagram, DatagramPeer } from './datagram-peers.js';
import { type EngineUnderTest, freePorts, type Stage, to, useStage } from './stage.js';
import { eventually } from './waiting.js';

/** The most that fits into a datagram over IPv4. */
const MOST = 65_507;
const UDP = { transports: ['udp'] } as const;

/** UDP: payloads, clients, where replies come from, and when a client is forgotten. */
export function udpSuite(under: EngineUnderTest): void {
  describe('carrying UDP', () => {
    const on = useStage(under);

    it.each([
      ['127.0.0.1', '127.0.0.1'],
      ['127.0.0.1', '::1'],
      ['::1', '127.0.0.1'],
      ['::1', '::1'],
    ])('carries payloads of 0 to 65,507 bytes from %s to %s and back', async (listen, address) => {
      const stage = on();
      const [there, client, port] = [await stage.datagrams(address), await stage.datagrams(listen), await freePorts()];
      await stage.carry({ ...UDP, address: listen, port, targets: [to(there)] });
      const listener = { address: listen, port };
      const sizes = [0, 1, 2, 64, 511, 512, 1_200, 1_472, 1_473, 9_000, 65_000, MOST - 1, MOST];
      for (const size of sizes) {
        const [question, answer] = [randomBytes(size), randomBytes(size)];
        client.send(question, listener);
        const arrived = await there.next();
        expect([size, arrived.data.equals(question)]).toEqual([size, true]);
        there.send(answer, arrived);
        const back = await client.next();
        expect([size, back.data.equals(answer), back.address, back.port]).toEqual([size, true, listen, port]);
      }
      const total = 2 * sizes.reduce((a, b) => a + b, 0);
      await stage.until('all is counted', (c) => c.bytes === total && c.datagrams === 2 * sizes.length);
      expect(await stage.counts()).toMatchObject({ flows: 1, open: 1, targets: [{ open: 1, health: 'healthy' }] });
      const [flow] = await stage.engine.flows({ uid: stage.uid, most: 5 });
      expect(flow).toMatchObject({ transport: 'udp', bytesToTarget: total / 2, bytesToClient: total / 2 });
      expect(flow?.client).toBe(named(listen, client.port));
      expect(flow?.listener).toBe(named(listen, port));
      expect(flow?.target).toBe(named(address, there.port));
    });

    it('keeps clients apart, and the order of what each sends', async () => {
      const stage = on();
      const [there, port] = [await stage.datagrams(), await freePorts()];
      await stage.carry({ ...UDP, port, targets: [to(there.echo())] });
      const clients = await Promise.all(Array.from({ length: 5 }, () => stage.datagrams()));
      for (let n = 0; n < 40; n++)
        for (const [i, client] of clients.entries()) client.send(`${i}:${n}`, { address: '127.0.0.1', port });
      for (const [i, client] of clients.entries()) for (let n = 0; n < 40; n++) expect(await client.text()).toBe(`${i}:${n}`);
      expect(await stage.counts()).toMatchObject({ flows: 5, open: 5, datagrams: 400 });
      expect((await stage.engine.use()).clients).toBeGreaterThanOrEqual(5);
    });

    it('answers from the address that the client used', async () => {
      const stage = on();
      const [there, port] = [await stage.datagrams(), await freePorts()];
      await stage.carry({ ...UDP, address: undefined, port, targets: [to(there.echo())] });
      const unnamed = under.unnamedAddresses ? ['127.0.0.2', '127.1.2.3'] : [];
      for (const address of ['127.0.0.1', '::1', ...unnamed]) {
        const client = await stage.datagrams(address.includes(':') ? '::1' : '127.0.0.1');
        client.send('x', { address, port });
        expect(await client.next()).toMatchObject({ address, port });
      }
    });

    it('takes no notice of who is not allowed', async () => {
      const stage = on();
      const [there, port] = [await stage.datagrams(), await freePorts()];
      await stage.carry({ ...UDP, port, targets: [to(there)], allow: cidrs('127.0.0.8/32') });
      const [eight, nine] = [await stage.datagrams('127.0.0.8'), await stage.datagrams('127.0.0.9')];
      nine.send('nine', { address: '127.0.0.1', port });
      await stage.until('it is counted', (c) => c.refused === 1);
      eight.send('eight', { address: '127.0.0.1', port });
      expect(await there.text()).toBe('eight');
      expect(await stage.counts()).toMatchObject({ flows: 1, open: 1 });
    });

    it('lets in as many clients as the forward allows', async () => {
      const stage = on();
      const [there, port] = [await stage.datagrams(), await freePorts()];
      await stage.carry({ ...UDP, port, targets: [to(there)], maxConnections: 1 });
      const [one, two] = [await stage.datagrams(), await stage.datagrams()];
      one.send('one', { address: '127.0.0.1', port });
      expect(await there.text()).toBe('one');
      two.send('two', { address: '127.0.0.1', port });
      await stage.until('it is counted', (c) => c.limited === 1);
      one.send('one again', { address: '127.0.0.1', port });
      expect(await there.text()).toBe('one again');
    });

    it('forgets a client from which and to which nothing came, and no other', async () => {
      const stage = on();
      const [there, port] = [await stage.datagrams(), await freePorts()];
      await stage.carry({ ...UDP, port, targets: [to(there)], udpIdleTimeout: 200 });
      const listener = { address: '127.0.0.1', port };
      const [idle, sending, receiving] = [await stage.datagrams(), await stage.datagrams(), await stage.datagrams()];
      const known: Datagram[] = [];
      for (const client of [idle, sending, receiving]) {
        client.send('x', listener);
        known.push(await there.next());
      }
      const beat = setInterval(() => {
        sending.send('s', listener);
        if (known[2]) there.send('r', known[2]);
      }, 30);
      stage.later(() => clearInterval(beat));
      await stage.until('one is forgotten', (c) => c.open === 2);
      // Both for twelve beats more, which is longer than a client is remembered that has none.
      const [heard, sent] = [receiving.received, there.received];
      await eventually('both go on', () => receiving.received >= heard + 12 && there.received >= sent + 12);
      expect(await stage.counts()).toMatchObject({ open: 2, flows: 3 });
      idle.send('again', listener);
      const again = await eventually('it comes', async () => {
        const next = await there.next();
        return next.data.toString() === 'again' ? next : undefined;
      });
      expect(again.port).not.toBe(known[0]?.port);
    });

    it('goes on when a target that refused is there again', async () => {
      const stage = on();
      const [client, port, targetPort] = [await stage.datagrams(), await freePorts(), await freePorts()];
      await stage.carry({ ...UDP, port, targets: [to({ address: '127.0.0.1', port: targetPort })] });
      client.send('lost', { address: '127.0.0.1', port });
      await stage.changed();
      const { targets } = await stage.counts();
      expect(targets).toMatchObject([{ health: 'unhealthy' }]);
      const there = await stage.datagrams('127.0.0.1', targetPort);
      client.send('found', { address: '127.0.0.1', port });
      const { port: from, address, data } = await there.next();
      expect(data.toString()).toBe('found');
      there.send('back', { port: from, address });
      expect(await client.text()).toBe('back');
      await stage.until('it is well', (c) => c.targets[0]?.health === 'healthy');
    });

    it('sends a client elsewhere whose target refuses, with its first datagram', async () => {
      const stage = on();
      const [there, client, port] = [(await stage.datagrams()).echo(), await stage.datagrams(), await freePorts()];
      await stage.carry({ ...UDP, port, targets: [to({ address: '127.0.0.2', port: await freePorts() }, 100), to(there)] });
      client.send('sent once', { address: '127.0.0.1', port });
      expect(await client.text()).toBe('sent once');
      const { flows, failed, targets } = await stage.counts();
      expect([flows, failed]).toEqual([1, 0]);
      expect(targets).toMatchObject([
        { health: 'unhealthy', open: 0 },
        { health: 'healthy', open: 1 },
      ]);
    });

    it('keeps the distance within a range, and reaches targets from the fixed source address', async () => {
      const stage = on();
      const [port, first] = [await freePorts(3), await freePorts(3)];
      const services = await Promise.all([0, 1, 2].map((i) => stage.datagrams('127.0.0.1', first + i)));
      const targets = [to({ address: '127.0.0.1', port: first })];
      await stage.carry({ ...UDP, port, last: port + 2, targets, source: ip('127.0.0.9') });
      const client = await stage.datagrams();
      for (const [i, there] of services.entries()) {
        client.send(`port ${i}`, { address: '127.0.0.1', port: port + i });
        const arrived = await there.next();
        expect([arrived.data.toString(), arrived.address]).toEqual([`port ${i}`, '127.0.0.9']);
      }
    });

    it('carries TCP and UDP of one forward', async () => {
      const stage = on();
      const [port, targetPort] = [await freePorts(), await freePorts()];
      (await stage.service('127.0.0.1', targetPort)).echo();
      const there = (await stage.datagrams('127.0.0.1', targetPort)).echo();
      await stage.carry({ transports: ['tcp', 'udp'], port, targets: [to(there)] });
      const client = await stage.datagrams();
      client.send('over udp', { address: '127.0.0.1', port });
      expect(await client.text()).toBe('over udp');
      expect((await stage.connect(port).end('over tcp').rest()).toString()).toBe('over tcp');
      await stage.until('both are counted', (c) => c.flows === 2 && c.bytes === 32);
    });

    it.each([
      ['drain', 'new'],
      ['cut', 'new'],
      ['keep', 'old'],
    ] as const)('%s: a client of a target that is gone goes on with the %s one', async (onChange, which) => {
      const stage = on();
      const [older, newer, client, port] = [
        await stage.datagrams(),
        await stage.datagrams(),
        await stage.datagrams(),
        await freePorts(),
      ];
      const listener = { address: '127.0.0.1', port };
      await stage.carry({ ...UDP, port, targets: [to(older)], onChange });
      client.send('first', listener);
      expect(await older.text()).toBe('first');
      await stage.carry({ ...UDP, port, targets: [to(newer)], onChange });
      client.send('second', listener);
      expect(await (which === 'new' ? newer : older).text()).toBe('second');
    });

    it('answers the clients of a forward that is removed until they are idle, and not when it is cut', async () => {
      for (const onChange of ['drain', 'cut'] as const) {
        const stage = on();
        const uid = `${stage.uid}-${onChange}`;
        const [there, client, port] = [await stage.datagrams(), await stage.datagrams(), await freePorts()];
        const listener = { address: '127.0.0.1', port };
        await stage.carry({ ...UDP, uid, port, targets: [to(there)], onChange, udpIdleTimeout: 400 });
        client.send('x', listener);
        const from = await there.next();
        await stage.engine.remove(uid);
        if (onChange === 'drain') {
          there.send('late', from);
          expect(await client.text()).toBe('late');
          client.send('later', listener);
          expect(await there.text()).toBe('later');
        }
        await eventually('it is forgotten', async () => (await stage.engine.flows({ uid, most: 1 })).length === 0);
        const again = await stage.datagrams('127.0.0.1', port);
        expect(again.port).toBe(port);
        again.close();
      }
    });

    it.each([
      ['one address', 'every address', '127.0.0.1', undefined],
      ['every address', 'one address', undefined, '127.0.0.1'],
      ['one address', 'the same one', '127.0.0.1', '127.0.0.1'],
    ])('serves who is new at once where a forward on %s had clients, and another has its port on %s', async (...where) => {
      const stage = on();
      const [, , before, after] = where;
      const [older, newer, port] = [await stage.datagrams(), (await stage.datagrams()).echo(), await freePorts()];
      const listener = { address: '127.0.0.1', port };
      await stage.carry({ ...UDP, uid: `${stage.uid}-old`, address: before, port, targets: [to(older)] });
      const known = await someClients(stage, 8);
      for (const client of known) client.send('x', listener);
      const from = await Promise.all(known.map(() => older.next()));
      await stage.engine.remove(`${stage.uid}-old`);
      await stage.carry({ ...UDP, address: after, port, targets: [to(newer)] });
      for (const client of await someClients(stage, 16)) {
        client.send('new', listener);
        expect(await client.next()).toMatchObject({ data: Buffer.from('new'), ...listener });
      }
      expect(await stage.counts()).toMatchObject({ flows: 16 });
      for (const to of from) older.send('late', to);
      for (const client of known) expect(await client.next()).toMatchObject({ data: Buffer.from('late'), ...listener });
    });
  });
}

const someClients = (stage: Stage, count: number): Promise<readonly DatagramPeer[]> =>
  Promise.all(Array.from({ length: count }, () => stage.datagrams()));

const named = (address: string, port: number): string => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);
