import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../clock.js';
import { handshakeSockets } from '../system/handshake-sockets.js';
import { ip } from '../testing/placed.js';
import { HandshakeProber } from './handshake-prober.js';
import { outcomeOf, type Prober, TcpProber } from './prober.js';

const sockets = handshakeSockets();
const handshake = (timeoutMs?: number): Prober =>
  new HandshakeProber({ clock: systemClock, sockets, ...(timeoutMs && { timeoutMs }) });
const tcp = (timeoutMs?: number): Prober => new TcpProber({ clock: systemClock, ...(timeoutMs && { timeoutMs }) });

const HANGING = `
  const { parentPort } = require('node:worker_threads');
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listen(host: string, accept: (socket: Socket) => void = () => undefined): Promise<number> {
  const server = createServer(accept);
  servers.push(server);
  server.listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('no address');
  return address.port;
}

describe.each([
  { kind: 'a broken off handshake', make: handshake },
  { kind: 'a connection', make: tcp },
])('$kind', ({ make }) => {
  const prober = make();

  it.each(['127.0.0.1', '::1'])('of somebody who listens at %s says how long it took', async (host) => {
    const outcome = await prober.probe(ip(host), await listen(host));
    if (outcome.kind !== 'up') throw new Error(JSON.stringify(outcome));
    expect(outcome.rttUs).toBeGreaterThan(0);
    expect(outcome.rttUs).toBeLessThan(1_000_000);
  });

  it('of a port where nobody listens says that it was refused', async () => {
    const port = await listen('127.0.0.1');
    servers[0]?.close();
    expect(await prober.probe(ip('127.0.0.1'), port)).toEqual({ kind: 'down', why: 'refused by the target' });
  });

  it('of somebody who says nothing ends in its time', async () => {
    // The kernel accepts for a program that hangs until its queue is full, and then drops what comes: as silent as a host that is gone.
    const hanging = new Worker(HANGING, { eval: true });
    try {
      const [port] = await once(hanging, 'message');
      for (let i = 0; i < 3; i++) await tcp(300).probe(ip('127.0.0.1'), port);
      expect(await make(300).probe(ip('127.0.0.1'), port)).toEqual({ kind: 'down', why: 'no answer within 0.3 s' });
    } finally {
      await hanging.terminate();
    }
  });
});

describe('what the target sees', () => {
  it('of a connection is no byte and a FIN, also where the target greets first', async () => {
    const seen = new Promise<{ bytes: number; error?: Error }>((resolve) => {
      listen('127.0.0.1', (socket) => {
        let error: Error | undefined;
        socket.write('220 welcome\r\n'.repeat(1000));
        socket.resume();
        socket.on('error', (e) => {
          error = e;
        });
        socket.on('close', () => resolve({ bytes: socket.bytesRead, ...(error && { error }) }));
      }).then((port) => tcp().probe(ip('127.0.0.1'), port));
    });
    expect(await seen).toEqual({ bytes: 0 });
  });

  it('of a broken off handshake is nothing at all', async () => {
    const accepted: number[] = [];
    const port = await listen('127.0.0.1', (socket) => accepted.push(socket.remotePort ?? 0));
    for (let i = 0; i < 20; i++) expect((await handshake().probe(ip('127.0.0.1'), port)).kind).toBe('up');
    // What was accepted before this one would have been reported before it.
    const last = connect(port, '127.0.0.1');
    await once(last, 'connect');
    while (accepted.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(accepted).toEqual([last.localPort]);
    last.destroy();
  });

  it('of many at once is told apart', async () => {
    const open = await listen('127.0.0.1');
    const shut = await listen('127.0.0.1');
    servers[1]?.close();
    const prober = handshake();
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, (_, i) => prober.probe(ip('127.0.0.1'), i % 2 === 0 ? open : shut)),
    );
    expect(outcomes.map((o) => o.kind)).toEqual(outcomes.map((_, i) => (i % 2 === 0 ? 'up' : 'down')));
  });
});

describe('what errors mean', () => {
  it.each([
    ['ECONNREFUSED', { kind: 'down', why: 'refused by the target' }],
    ['ETIMEDOUT', { kind: 'down', why: 'no answer within 2 s' }],
    ['EHOSTUNREACH', { kind: 'down', why: 'no route to host' }],
    ['ENETUNREACH', { kind: 'down', why: 'network unreachable' }],
    ['EMFILE', { kind: 'unable', why: 'too many open files in the agent (EMFILE)' }],
    ['EADDRNOTAVAIL', { kind: 'unable', why: 'no free port or address on the gateway (EADDRNOTAVAIL)' }],
    ['EPERM', { kind: 'unable', why: 'a local firewall forbids it (EPERM)' }],
    ['EWHATEVER', { kind: 'unable', why: 'EWHATEVER' }],
  ])('%s', (code, outcome) => expect(outcomeOf(code, 2000)).toEqual(outcome));
});
