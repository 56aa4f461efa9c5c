import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ip } from '../../testing/placed.js';
import { pair } from './pairs.js';
import { type EngineUnderTest, freePorts, to, useStage } from './stage.js';
import { eventually } from './waiting.js';

const MIB = 1024 * 1024;

/** TCP with everything well: bytes, both families, ranges, ends, resets and who is slower than the other. */
export function tcpSuite(under: EngineUnderTest): void {
  describe('carrying TCP', () => {
    const on = useStage(under);

    it('carries bytes both ways, counts them and lists the flow', async () => {
      const stage = on();
      const { service, port } = await stage.carried();
      const client = stage.connect(port).send('hello');
      const there = await service.next();
      expect(await there.read(5)).toBe('hello');
      there.send('and back');
      expect(await client.read(8)).toBe('and back');
      await stage.until('all is counted', ({ bytes }) => bytes === 13);
      expect(await stage.counts()).toMatchObject({ flows: 1, open: 1, refused: 0, limited: 0, failed: 0, datagrams: 0 });
      const [flow, ...others] = await stage.engine.flows({ uid: stage.uid, most: 10 });
      expect(others).toEqual([]);
      expect(flow).toMatchObject({
        uid: stage.uid,
        transport: 'tcp',
        client: `127.0.0.1:${client.localPort}`,
        listener: `127.0.0.1:${port}`,
        source: `127.0.0.1:${there.socket.remotePort}`,
        target: `127.0.0.1:${service.port}`,
        bytesToTarget: 5,
        bytesToClient: 8,
      });
      expect(flow?.age).toBeGreaterThanOrEqual(flow?.idle ?? Number.NaN);
      expect(await stage.engine.flows({ uid: 'another', most: 10 })).toEqual([]);
      const { targets } = await stage.counts();
      expect(targets).toMatchObject([{ address: '127.0.0.1', port: service.port, open: 1, health: 'healthy' }]);
      client.end();
      there.end();
      expect(await Promise.all([client.ending(), there.ending()])).toEqual(['end', 'end']);
      await stage.until('the flow is gone', ({ open, targets: [one] }) => open === 0 && one?.open === 0);
    });

    it.each([
      ['127.0.0.1', '::1'],
      ['::1', '127.0.0.1'],
      ['::1', '::1'],
    ])('carries from %s to %s', async (listen, address) => {
      const stage = on();
      const [service, port] = [(await stage.service(address)).echo(), await freePorts()];
      await stage.carry({ address: listen, port, targets: [to(service)] });
      expect((await stage.connect(port, { to: listen }).end('hello').rest()).toString()).toBe('hello');
    });

    it('listens on every address of both families', async () => {
      const stage = on();
      const [service, port] = [(await stage.service()).echo(), await freePorts()];
      await stage.carry({ address: undefined, port, targets: [to(service)] });
      for (const address of ['127.0.0.1', '127.0.0.7', '::1'])
        expect((await stage.connect(port, { to: address }).end(address).rest()).toString()).toBe(address);
    });

    it('keeps the distance within a range, shifted too', async () => {
      const stage = on();
      const [first, there] = [await freePorts(4), await freePorts(4)];
      const services = await Promise.all([0, 1, 2, 3].map((i) => stage.service('127.0.0.1', there + i)));
      await stage.carry({ port: first, last: first + 3, targets: [to({ address: '127.0.0.1', port: there })] });
      for (const [i, service] of services.entries()) {
        const client = stage.connect(first + i).end(`port ${i}`);
        const peer = await service.next();
        expect((await peer.rest()).toString()).toBe(`port ${i}`);
        peer.end();
        await client.rest();
      }
      expect((await stage.counts()).targets).toMatchObject([{ port: there, health: 'healthy' }]);
    });

    it('reaches targets from the fixed source address', async () => {
      const stage = on();
      const { service, port } = await stage.carried({ source: ip('127.0.0.9') });
      stage.connect(port);
      expect((await service.next()).socket.remoteAddress).toBe('127.0.0.9');
    });

    it('asks after 60 s of silence on both sides whether somebody is still there', async () => {
      const stage = on();
      const { service, port } = await stage.carried();
      const client = stage.connect(port);
      const there = await service.next();
      for (const [local, remote] of [
        [port, client.localPort],
        [there.socket.remotePort ?? 0, service.port],
      ] as const) {
        const due = await eventually('a keepalive timer runs', () => keepaliveDue(local, remote));
        expect(due).toBeGreaterThan(50);
        expect(due).toBeLessThanOrEqual(61);
      }
    });

    it("carries the client's end, and what the target still has to say", async () => {
      const stage = on();
      const { service, port } = await stage.carried();
      const client = stage.connect(port).end('a question');
      const there = await service.next();
      expect((await there.rest()).toString()).toBe('a question');
      const answer = randomBytes(3 * MIB);
      there.send(answer.subarray(0, MIB));
      expect((await client.take(MIB)).equals(answer.subarray(0, MIB))).toBe(true);
      there.end(answer.subarray(MIB));
      expect((await client.rest()).equals(answer.subarray(MIB))).toBe(true);
    });

    it("carries the target's end, and what the client still has to say", async () => {
      const stage = on();
      const { service, port } = await stage.carried();
      const client = stage.connect(port);
      const there = (await service.next()).end('a greeting');
      expect((await client.rest()).toString()).toBe('a greeting');
      const upload = randomBytes(3 * MIB);
      client.end(upload);
      expect((await there.rest()).equals(upload)).toBe(true);
    });

    it.each(['client', 'target'] as const)('carries a reset of the %s to the other side', async (who) => {
      const stage = on();
      const { service, port } = await stage.carried();
      const { client, there } = await pair(stage, port, service);
      const [resets, sees] = who === 'client' ? [client, there] : [there, client];
      resets.reset();
      expect(await sees.ending()).toBe('reset');
    });

    it.each(['client', 'target'] as const)('carries a reset of the %s after it ended its direction', async (who) => {
      const stage = on();
      const { service, port } = await stage.carried();
      const { client, there } = await pair(stage, port, service);
      const [resets, sees] = who === 'client' ? [client, there] : [there, client];
      resets.end();
      expect(await sees.ending()).toBe('end');
      resets.reset();
      await eventually('the reset arrives', () => {
        if (sees.error === undefined && !sees.socket.destroyed) sees.send('still talking');
        return sees.error !== undefined;
      });
      expect(['ECONNRESET', 'EPIPE']).toContain(sees.error);
    });

    it('carries a connection on which nothing is ever sent', async () => {
      const stage = on();
      const { service, port } = await stage.carried();
      const client = stage.connect(port).end();
      const there = (await service.next()).end();
      expect([(await there.rest()).length, (await client.rest()).length]).toEqual([0, 0]);
      await stage.until('it is over', (c) => c.open === 0 && c.flows === 1 && c.bytes === 0 && c.failed === 0);
    });

    it('tells a target that goes on talking to a client that is gone', async () => {
      const stage = on();
      const { service, port } = await stage.carried();
      const client = stage.connect(port).send('x');
      const there = await service.next();
      await there.read(1);
      client.socket.destroy();
      expect(await there.ending()).toBe('end');
      await eventually('the target is told', () => {
        if (there.error === undefined) there.send('still there?');
        return there.error !== undefined;
      });
    });

    it('resets the client where the target closed with data unread', async () => {
      const stage = on();
      const { service, port } = await stage.carried();
      const client = stage.connect(port);
      const there = await service.next();
      there.socket.pause();
      client.send(randomBytes(MIB));
      await stage.until('it is under way', ({ bytes }) => bytes > 0);
      there.socket.destroy();
      expect(await client.ending()).toBe('reset');
    });

    it('holds a bounded amount for a target that does not read, and loses nothing when it goes on', async () => {
      const stage = on();
      const { service, port } = await stage.carried();
      const client = stage.connect(port);
      const there = await service.next();
      there.socket.pause();
      const block = randomBytes(MIB);
      const sent = createHash('sha256');
      for (let i = 0; i < 64; i++) {
        client.send(block);
        sent.update(block);
      }
      client.end();
      const stalled = await stillness(() => client.socket.bytesWritten - client.socket.writableLength);
      // What the kernel holds for four sockets, and what the engine does: two sockets here take up to 4 + 6 MiB each.
      expect(stalled).toBeLessThan(40 * MIB);
      const other = stage.connect(port).send('x');
      expect(await (await service.next()).read(1)).toBe('x');
      other.reset();
      const got = createHash('sha256');
      there.socket.on('data', (chunk) => got.update(chunk));
      there.socket.resume();
      expect(await there.ending()).toBe('end');
      expect(got.digest('hex')).toBe(sent.digest('hex'));
      expect(there.received).toBe(64 * MIB);
    });

    it('ends a connection on which nothing moves, and not one on which something does', async () => {
      const stage = on();
      const { service, port } = await stage.carried({ tcpIdleTimeout: 250 });
      const idle = stage.connect(port);
      const idleThere = await service.next();
      const busy = stage.connect(port);
      const busyThere = await service.next();
      let beats = 0;
      const beat = setInterval(() => {
        beats += 1;
        busyThere.send('.');
      }, 40);
      stage.later(() => clearInterval(beat));
      expect(await Promise.all([idle.ending(), idleThere.ending()])).toEqual(['reset', 'reset']);
      const before = beats;
      await busy.read(before + 8);
      expect([busy.error, busy.ended]).toEqual([undefined, false]);
    });
  });
}

/** The value of `read` once it has not changed for a while: that nothing moves any more is no event that one could wait for. */
async function stillness(read: () => number): Promise<number> {
  for (let before = -1; ; ) {
    const value = read();
    if (value === before) return value;
    before = value;
    await pause(150);
  }
}

/** Seconds until the kernel asks the other side of a connection of 127.0.0.1; undefined: it does not (/proc/net/tcp, timer 2). */
async function keepaliveDue(localPort: number, remotePort: number): Promise<number | undefined> {
  const end = (port: number) => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/));
  const timer = lines.find(([, local, remote]) => local === end(localPort) && remote === end(remotePort))?.[5];
  const [kind, ticks = ''] = timer?.split(':') ?? [];
  return kind === '02' ? Number.parseInt(ticks, 16) / 100 : undefined;
}
