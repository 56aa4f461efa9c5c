import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { descriptorLimit } from '../../system/native/descriptor-limit.js';
import { loadRelayLibc } from '../../system/native/relay-libc.js';
import { Blackhole } from '../conformance/blackhole.js';
import { DatagramPeer } from '../conformance/datagram-peers.js';
import { Service } from '../conformance/peers.js';
import { freePorts } from '../conformance/stage.js';
import { eventually } from '../conformance/waiting.js';
import type { Engine } from '../engine.js';
import { relayed, target } from '../testing.js';
import { descriptorMemory } from './descriptors.js';
import { openNativeEngine } from './engine.js';
import { WorkerThread } from './worker-thread.js';

const libc = loadRelayLibc();
const last: (() => unknown)[] = [];
const later = <T>(thing: T, close: (thing: T) => unknown): T => {
  last.push(() => close(thing));
  return thing;
};

/** With room for so many descriptors beside those that are open, and less what the workers have. */
async function open(room: number): Promise<Engine> {
  const reserve = descriptorLimit(libc) - readdirSync('/proc/self/fd').length - room;
  return later(await openNativeEngine({ inherited: [], threads: 2, reserve }), (engine) => engine.stop());
}

const UDP = { transports: ['udp'] } as const;
const peer = async () => later(await DatagramPeer.open(), (p) => p.close());
const service = async () => later(await Service.start(), (s) => s.close());
const forward = (uid: string, port: number, to: { readonly port: number }, words = {}) =>
  relayed({ uid, port, address: '127.0.0.1', targets: [target('127.0.0.1', to.port)], ...words });

/** Says something and does not wait for an answer. */
function client(port: number, data?: Buffer): Socket {
  const socket = later(connect({ host: '127.0.0.1', port }), (s) => s.destroy());
  socket.on('error', () => undefined);
  if (data) socket.write(data);
  return socket;
}

async function asked(port: number): Promise<void> {
  const socket = client(port, Buffer.from('?'));
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('close', () => reject(new Error('closed')));
  });
}

afterEach(async () => {
  for (const close of last.splice(0).reverse()) await close();
});

describe('native engine', () => {
  it('keeps room for others while a target does not answer', async () => {
    const engine = await open(200);
    const hole = later(await Blackhole.open(), (h) => h.close());
    const [there, deaf, port] = [await service(), await freePorts(), await freePorts()];
    await engine.set(forward('deaf', deaf, hole, { connectTimeout: 60_000 }));
    await engine.set(forward('other', port, there));
    for (let i = 0; i < 400; i++) client(deaf);
    const held = await eventually('connects that wait', async () => {
      const { connections } = await engine.use();
      return connections >= 16 ? connections : undefined;
    });
    // Two workers, each with a sixteenth of the descriptors: the others wait in the kernel.
    expect(held).toBeLessThanOrEqual(2 * Math.ceil(200 / 16) + 2);
    const served = there.next();
    await asked(port);
    await served;
    expect((await engine.use()).paused).toBe(false);
  });

  it('takes in who waits because of that, as the forward is removed', async () => {
    const engine = await open(400);
    const hole = later(await Blackhole.open(), (h) => h.close());
    const deaf = await freePorts();
    await engine.set(forward('deaf', deaf, hole, { connectTimeout: 60_000 }));
    const clients = Array.from({ length: 150 }, () => client(deaf));
    await Promise.all(clients.map((c) => once(c, 'connect')));
    // Twice a sixteenth, and no more for as long as it is carried.
    expect((await engine.use()).connections).toBeLessThanOrEqual(60);
    await engine.remove('deaf');
    expect((await engine.use()).connections).toBe(150);
    expect(clients.filter((c) => c.destroyed)).toEqual([]);
  });

  it('lets no forward have all descriptors', async () => {
    const engine = await open(160);
    const [there, port, other] = [await service(), await freePorts(), await freePorts()];
    await engine.set(forward('much', port, there));
    await engine.set(forward('little', other, there));
    for (let i = 0; i < 200; i++) client(port, Buffer.from('x'));
    const counted = async () => (await engine.counts()).map((c) => c.open);
    await eventually('most of it taken', async () => ((await counted())[0] ?? 0) >= 40 || undefined);
    await asked(other);
    await eventually('the other one served', async () => (await counted())[1] === 1 || undefined);
    // Three quarters, two for each; what the workers themselves have is not there to be shared.
    expect((await counted())[0]).toBeLessThanOrEqual(60);
  });

  it('lets no UDP forward have all descriptors', async () => {
    const clients = await Promise.all(Array.from({ length: 150 }, () => peer()));
    const engine = await open(160);
    const [there, silent, port, other] = [await service(), await peer(), await freePorts(), await freePorts()];
    await engine.set(forward('much', port, silent, UDP));
    await engine.set(forward('little', other, there));
    for (const client of clients) client.send('x', { address: '127.0.0.1', port });
    const counted = async () => (await engine.counts())[0];
    const much = await eventually('all came', async () => {
      const counts = await counted();
      return counts && counts.open + counts.limited === clients.length ? counts : undefined;
    });
    expect(much.open).toBeLessThanOrEqual(120);
    await asked(other);
    await eventually('the other one served', async () => (await engine.counts())[1]?.open === 1 || undefined);
  });

  it('pins no more than a pipe or a buffer for who does not read, and nothing once he is gone', async () => {
    const engine = await open(1000);
    const [there, port] = [await service(), await freePorts()];
    await engine.set(forward('stuck', port, there));
    const sent = Buffer.alloc(16 << 20);
    const senders = Array.from({ length: 20 }, () => client(port, sent));
    const targets = await Promise.all(senders.map(() => there.next()));
    for (const peer of targets) peer.socket.pause();
    const moved = async () => (await engine.counts())[0]?.bytes ?? 0;
    let before = -1;
    await eventually('nothing moves any more', async () => {
      const now = await moved();
      const still = now > 0 && now === before;
      before = now;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return still || undefined;
    });
    // 16 large ones and as many of the usual size are kept for each of two workers.
    expect((await engine.use()).pipes).toBeLessThanOrEqual(20 + 2 * 32);
    const held = (await engine.use()).descriptors;
    for (const socket of senders) socket.resetAndDestroy();
    await eventually('all gone', async () => (await engine.use()).connections === 0 || undefined);
    expect((await engine.use()).descriptors).toBeLessThanOrEqual(held);
    expect((await engine.use()).pipes).toBeLessThanOrEqual(2 * 32);
  });

  it('listens on one socket for each port of a wide range, in all workers', async () => {
    const engine = await open(1000);
    const there = await service();
    const first = await freePorts(40);
    await engine.set(forward('wide', first, there, { last: first + 39 }));
    expect(await engine.listening()).toHaveLength(40);
    await engine.set(forward('wide', first, there));
    expect(await engine.listening()).toHaveLength(1);
    const served = Array.from({ length: 8 }, () => there.next());
    for (let i = 0; i < 8; i++) await asked(first);
    await Promise.all(served);
  });

  it('takes no UDP port from another program where clients of a removed forward are', async () => {
    const engine = await open(400);
    const [there, known, port] = [await peer(), await peer(), await freePorts()];
    await engine.set(forward('old', port, there, UDP));
    known.send('x', { address: '127.0.0.1', port });
    await there.next();
    await engine.remove('old');
    const sharing = later(createSocket({ type: 'udp4', reusePort: true }), (s) => s.close());
    await new Promise<void>((resolve) => sharing.bind(port, '127.0.0.1', resolve));
    for (const address of ['127.0.0.1', undefined])
      expect(await engine.set(forward('new', port, there, { ...UDP, address }))).toMatchObject({ reason: 'PORT_IN_USE' });
  });

  it('serves who is new in every worker where a wide range takes the port of a forward with clients', async () => {
    const engine = await open(400);
    const [old, there, port] = [await peer(), (await peer()).echo(), await freePorts(40)];
    await engine.set(forward('old', port, old, UDP));
    const known = await Promise.all(Array.from({ length: 8 }, () => peer()));
    for (const client of known) client.send('x', { address: '127.0.0.1', port });
    for (const _ of known) await old.next();
    await engine.remove('old');
    const wide = { ...UDP, address: undefined, last: port + 39 };
    expect(await engine.set(forward('wide', port, there, wide))).toBeUndefined();
    for (let i = 0; i < 8; i++) {
      const client = await peer();
      client.send('new', { address: '127.0.0.1', port });
      expect(await client.text()).toBe('new');
    }
  });

  it('knows the UDP clients of a removed forward wherever the kernel gives their datagrams', async () => {
    const engine = await open(400);
    const [there, port] = [(await peer()).echo(), await freePorts()];
    const clients: DatagramPeer[] = [];
    // Sockets that come and go have the kernel spread the clients anew, over those of both rounds and both workers.
    for (const uid of ['first', 'second']) {
      await engine.set(forward(uid, port, there, UDP));
      const fresh = await Promise.all(Array.from({ length: 16 }, () => peer()));
      for (const client of fresh) client.send('new', { address: '127.0.0.1', port });
      for (const client of fresh) expect(await client.text()).toBe('new');
      await engine.remove(uid);
      clients.push(...fresh);
    }
    (await peer()).send('stranger', { address: '127.0.0.1', port });
    for (const client of clients) client.send('known', { address: '127.0.0.1', port });
    for (const client of clients) expect(await client.text()).toBe('known');
    expect(there.received).toBe(64);
  });

  it('says so when a worker ends', async () => {
    const started = performance.now();
    const thread = new WorkerThread({
      // It cannot watch what would wake it.
      libc: { ...libc, eventfd: () => 999_999 },
      index: 0,
      descriptors: descriptorMemory(100),
      events: { news: () => undefined, strayed: () => undefined, trouble: () => undefined, died: () => undefined },
    });
    await expect(thread.start()).rejects.toMatchObject({ reason: 'RELAY_WORKER_ENDED' });
    await expect(thread.ask('use', {})).rejects.toMatchObject({ reason: 'RELAY_WORKER_ENDED' });
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});
