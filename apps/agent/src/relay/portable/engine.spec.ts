import { describe, expect, it, onTestFinished } from 'vitest';
import { DatagramPeer } from '../conformance/datagram-peers.js';
import { Peer, Service } from '../conformance/peers.js';
import { freePorts, to } from '../conformance/stage.js';
import { eventually } from '../conformance/waiting.js';
import type { Engine } from '../engine.js';
import { relayed } from '../testing.js';
import { Descriptors } from './descriptors.js';
import { openPortableEngine, type PortableHost } from './engine.js';
import type { OwnAddress } from './places.js';

// What this engine does in its own way; all else is in the suite that both engines share.

async function opened(host: PortableHost): Promise<Engine> {
  const engine = await openPortableEngine({ inherited: [], reserve: 0 }, host);
  onTestFinished(() => engine.stop());
  return engine;
}

describe('the portable engine', () => {
  it('follows the addresses of the gateway with UDP for every address', async () => {
    const addresses: OwnAddress[] = [{ family: 4, address: '127.0.0.1' }];
    const engine = await opened({ ownAddresses: () => addresses, rescanEvery: 20 });
    const [there, port] = [(await DatagramPeer.open()).echo(), await freePorts()];
    onTestFinished(() => there.close());
    expect(await engine.set(relayed({ port, transports: ['udp'], targets: [to(there)] }))).toBeUndefined();
    const bound = async () => (await engine.listening()).map((l) => l.address);
    expect(await bound()).toEqual(['127.0.0.1']);
    addresses.push({ family: 4, address: '127.0.0.2' }, { family: 6, address: '::1' }, { family: 4, address: '192.0.2.1' });
    await eventually('new addresses are listened on', async () => (await bound()).length === 3);
    const client = await DatagramPeer.open('127.0.0.1');
    onTestFinished(() => client.close());
    client.send('x', { address: '127.0.0.2', port });
    expect(await client.next()).toMatchObject({ address: '127.0.0.2', port });
    addresses.splice(1);
    await eventually('old ones are let go', async () => (await bound()).join() === '127.0.0.1');
    expect((await engine.use()).clients).toBe(0);
  });

  it('refuses a range for which there are too few descriptors, and says so', async () => {
    const engine = await opened({ descriptorLimit: 200 });
    const failure = await engine.set(
      relayed({ address: '127.0.0.1', port: 20_000, last: 20_999, targets: [to({ address: '127.0.0.1', port: 80 })] }),
    );
    expect(failure).toMatchObject({ reason: 'LISTEN_FAILED', message: expect.stringContaining('200 descriptors') });
    expect(await engine.listening()).toEqual([]);
  });

  it.each(['tcp', 'udp'] as const)('lets no forward have all descriptors: %s', async (transport) => {
    const clients = await Promise.all(Array.from({ length: 120 }, () => DatagramPeer.open()));
    onTestFinished(() => {
      for (const client of clients) client.close();
    });
    const [there, service, port, other] = [
      await DatagramPeer.open(),
      await Service.start(),
      await freePorts(),
      await freePorts(),
    ];
    onTestFinished(() => {
      there.close();
      service.close();
    });
    service.echo();
    const room = 104;
    const engine = await opened({ descriptorLimit: new Descriptors().used() + room });
    const words = { address: '127.0.0.1', transports: [transport], targets: [to(transport === 'tcp' ? service : there)] };
    await engine.set(relayed({ ...words, uid: 'much', port }));
    await engine.set(relayed({ ...words, uid: 'little', port: other, transports: ['tcp'], targets: [to(service)] }));
    const counted = async () => (await engine.counts())[0];
    const peers: Peer[] = [];
    onTestFinished(() => {
      for (const { socket } of peers) socket.destroy();
    });
    for (const client of clients) {
      if (transport === 'udp') client.send('x', { address: '127.0.0.1', port });
      else peers.push(Peer.connect('127.0.0.1', port).send('x'));
    }
    await eventually('all came', async () => {
      const { flows = 0, limited = 0 } = (await counted()) ?? {};
      return flows + limited === clients.length;
    });
    const much = await counted();
    expect(much?.limited).toBeGreaterThan(0);
    expect((much?.open ?? 0) * (transport === 'tcp' ? 2 : 1)).toBeLessThanOrEqual(0.75 * room);
    expect((await Peer.connect('127.0.0.1', other).end('x').rest()).toString()).toBe('x');
  });

  it('goes on listening with clients of a removed UDP forward when its port is wanted again', async () => {
    const engine = await opened({});
    const [there, client, port] = [await DatagramPeer.open(), await DatagramPeer.open(), await freePorts()];
    onTestFinished(() => {
      there.close();
      client.close();
    });
    const words = { address: '127.0.0.1', port, transports: ['udp'] as const, targets: [to(there)] };
    await engine.set(relayed({ ...words, uid: 'first' }));
    client.send('x', { address: '127.0.0.1', port });
    const from = await there.next();
    await engine.remove('first');
    expect(await engine.set(relayed({ ...words, uid: 'second' }))).toBeUndefined();
    there.send('of the first', from);
    expect(await client.text()).toBe('of the first');
    const other = await DatagramPeer.open();
    onTestFinished(() => other.close());
    other.send('y', { address: '127.0.0.1', port });
    expect(await there.text()).toBe('y');
    expect(await engine.counts()).toMatchObject([{ uid: 'second', flows: 1 }]);
  });

  it('opens nothing while it drains', async () => {
    const engine = await opened({});
    const [service, port] = [(await Service.start()).echo(), await freePorts()];
    onTestFinished(() => service.close());
    await engine.set(relayed({ address: '127.0.0.1', port, targets: [to(service)] }));
    expect((await Peer.connect('127.0.0.1', port).end('x').rest()).toString()).toBe('x');
    await engine.drain();
    expect(await engine.set(relayed({ address: '127.0.0.1', port, targets: [to(service)] }))).toMatchObject({
      reason: 'LISTEN_FAILED',
    });
  });
});
