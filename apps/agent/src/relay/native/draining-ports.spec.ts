import { createSocket, type Socket } from 'node:dgram';
import { fstatSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePorts } from '../conformance/stage.js';
import { datagramDescriptor } from '../portable/handles.js';
import { relayed, target } from '../testing.js';
import type { RelayedForward } from '../types.js';
import { Draining, NONE_DRAINING } from './draining-ports.js';
import type { OpenSocket } from './listeners.js';

/** A socket that others may stand beside; and as the engine knows it. */
async function bound(address: string, port: number): Promise<OpenSocket> {
  const socket: Socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', reusePort: true });
  onTestFinished(() => void socket.close());
  await new Promise<void>((resolve) => socket.bind(port, address, resolve));
  const fd = datagramDescriptor(socket) ?? -1;
  return { transport: 'udp', address, port, fd, worker: 0, inherited: false };
}

const wanting = (port: number, words = {}): RelayedForward =>
  relayed({ port, transports: ['udp'], targets: [target('127.0.0.1', 9)], ...words });
const draining = ({ port, fd }: OpenSocket) => ({ port, inode: fstatSync(fd).ino });

function asking(byWorker: readonly (readonly OpenSocket[])[], predecessor?: number): Draining {
  const all = byWorker.map((sockets) => sockets.map(draining));
  const asked = new Draining({ ask: async () => all, predecessor: () => predecessor });
  asked.gaveUp(byWorker.flat());
  return asked;
}

describe('Draining', () => {
  it('tells ports that only the relay itself has, and where more than one worker has them', async () => {
    const port = await freePorts(4);
    const even = port + (port % 2);
    const [first, second] = [await bound('127.0.0.1', even), await bound('127.0.0.1', even + 1)];
    const asked = asking([[first, second], []]);
    const all = wanting(port, { last: port + 3 });
    const { own, everywhere } = await asked.ports(all, () => []);
    expect([[...own].sort(), [...everywhere]]).toEqual([[even, even + 1], [even + 1]]);
    expect(await asked.ports(wanting(even + 2), () => [])).toBe(NONE_DRAINING);
  });

  it('leaves a port to another program whose socket is in the way, and to no other', async () => {
    const port = await freePorts();
    const [mine, held] = [await bound('127.0.0.1', port), await bound('127.0.0.3', port)];
    const asked = asking([[mine]]);
    await bound('127.0.0.2', port);
    const owned = async (words: object) => (await asked.ports(wanting(port, words), () => [held])).own.size;
    expect(await owned({ address: '127.0.0.1' })).toBe(1);
    expect(await owned({ address: '127.0.0.2' })).toBe(0);
    expect(await owned({ address: '127.0.0.3' })).toBe(1);
    expect(await owned({})).toBe(0);
    expect(await owned({ families: [6] })).toBe(1);
  });

  it('knows the sockets of a predecessor by its open files', async () => {
    const port = await freePorts(2);
    await bound('127.0.0.1', port);
    const of = (pid: number | undefined) => asking([[]], pid).predecessors(wanting(port), NONE_DRAINING, () => []);
    expect((await of(process.pid))?.own).toEqual(new Set([port]));
    expect((await of(2 ** 22 + 1))?.own).toEqual(new Set());
    expect(await of(undefined)).toBeUndefined();
  });

  it('asks nobody while no UDP socket was given up', async () => {
    const asked = new Draining({ ask: () => expect.fail('asked'), predecessor: () => undefined });
    asked.gaveUp([{ transport: 'tcp', address: '::', port: 1, fd: 0, worker: 0, inherited: false }]);
    expect(await asked.ports(wanting(53), () => [])).toBe(NONE_DRAINING);
  });
});
