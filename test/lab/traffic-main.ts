// Runs inside a host: makes and answers traffic on request, one process per host, so that a question costs no process
// start. Started as a file of its own, therefore nothing but types is imported from beside it.
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect as connectTcp, createServer, isIPv6, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type {
  FlowTarget,
  ListenerAddress,
  NoAnswer,
  OpenedFlow,
  TrafficRequest,
  TrafficResponse,
  WhoAnswer,
} from './traffic-protocol.js';

function say(response: TrafficResponse): void {
  process.stdout.write(`${JSON.stringify(response)}\n`);
}

function shown(address: string | undefined, port: number | undefined): string {
  const plain = (address ?? '').replace(/^::ffff:(?=\d+\.)/, '');
  return `${isIPv6(plain) ? `[${plain}]` : plain}:${port ?? 0}`;
}

const noAnswers: Readonly<Record<string, NoAnswer>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EACCES: 'unreachable',
  EPERM: 'unreachable',
};

/** What an error of a socket means to the one who asked. Any other is a mistake in the question and is thrown. */
function meaning(error: NodeJS.ErrnoException): NoAnswer {
  const known = noAnswers[error.code ?? ''];
  if (known === undefined) throw error;
  return known;
}

// --- who-server

interface WhoServer {
  tcp: Server[];
  udp: UdpSocket[];
  flows: Set<Socket>;
}

function serveTcp(server: WhoServer, at: ListenerAddress): Promise<unknown> {
  const listener = createServer({ noDelay: true, allowHalfOpen: false }, (socket) => {
    server.flows.add(socket);
    socket.on('close', () => server.flows.delete(socket));
    socket.on('error', () => socket.destroy()); // the peer's resets are its own affair; it reports them
    const who: WhoAnswer = {
      local: shown(socket.localAddress, socket.localPort),
      peer: shown(socket.remoteAddress, socket.remotePort),
    };
    socket.write(`${JSON.stringify(who)}\n`);
    socket.pipe(socket);
  });
  listener.listen({ host: at.address, port: at.port, backlog: 1024, ipv6Only: at.address === '::' });
  server.tcp.push(listener);
  return once(listener, 'listening');
}

function serveUdp(server: WhoServer, at: ListenerAddress): Promise<unknown> {
  if (at.address === '0.0.0.0' || at.address === '::')
    throw new Error(`udp ${at.address}:${at.port}: name each address, a reply must come from the one that was asked`);
  const socket = createSocket(isIPv6(at.address) ? 'udp6' : 'udp4');
  const local = shown(at.address, at.port);
  socket.on('message', (data, peer) => {
    const who: WhoAnswer = { local, peer: shown(peer.address, peer.port) };
    socket.send(Buffer.concat([Buffer.from(`${JSON.stringify(who)}\n`), data]), peer.port, peer.address);
  });
  socket.bind({ address: at.address, port: at.port });
  server.udp.push(socket);
  return once(socket, 'listening');
}

// --- flows from here

/** An open flow: text goes out, and what comes back is awaited. One question at a time. */
interface Flow {
  /** Sends, then gives what `match` makes of everything received since, or how it failed. */
  ask<T>(text: string, match: (received: string) => T | undefined, timeoutMs: number): Promise<T | NoAnswer>;
  close(how: 'end' | 'reset'): void;
}

/** The half of a flow that TCP and UDP share: collects what arrives and settles the question that waits for it. */
class Inbox {
  #received = '';
  #over: NoAnswer | undefined;
  #look: (() => void) | undefined;

  receive(text: string): void {
    this.#received += text;
    this.#look?.();
  }

  fail(how: NoAnswer): void {
    this.#over ??= how;
    this.#look?.();
  }

  /** A UDP flow can be refused now and answered later. */
  forget(): void {
    this.#over = undefined;
    this.#received = '';
  }

  await<T>(match: (received: string) => T | undefined, timeoutMs: number): Promise<T | NoAnswer> {
    return new Promise((resolve) => {
      const settle = (value: T | NoAnswer) => {
        clearTimeout(timer);
        this.#look = undefined;
        resolve(value);
      };
      const timer = setTimeout(() => settle('timeout'), timeoutMs);
      this.#look = () => {
        const found = match(this.#received);
        if (found !== undefined) settle(found);
        else if (this.#over !== undefined) settle(this.#over);
      };
      this.#look();
    });
  }
}

async function openTcp(target: FlowTarget): Promise<Flow | NoAnswer> {
  const socket = connectTcp({
    host: target.to,
    port: target.port,
    noDelay: true,
    ...(target.from === undefined ? {} : { localAddress: target.from }),
    ...(target.sourcePort === undefined ? {} : { localPort: target.sourcePort }),
  });
  const inbox = new Inbox();
  const connected = await new Promise<'connected' | NoAnswer>((resolve, reject) => {
    const timer = setTimeout(() => resolve('timeout'), target.timeoutMs ?? 1000);
    socket.once('connect', () => resolve('connected'));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      try {
        resolve(meaning(error));
      } catch {
        reject(error); // a mistake in the question, such as a source address that is not here
      }
    });
    socket.once('close', () => clearTimeout(timer));
    socket.once('connect', () => clearTimeout(timer));
  });
  if (connected !== 'connected') {
    socket.destroy();
    return connected;
  }
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => inbox.receive(text));
  socket.on('error', (error: NodeJS.ErrnoException) => inbox.fail(noAnswers[error.code ?? ''] ?? 'reset'));
  socket.on('end', () => inbox.fail('closed'));
  return {
    ask: (text, match, timeoutMs) => {
      if (text) socket.write(text);
      return inbox.await(match, timeoutMs);
    },
    // A reset leaves no TIME_WAIT behind, so that the next question may use the same source port.
    close: (how) => (how === 'reset' ? socket.resetAndDestroy() : socket.end()),
  };
}

async function openUdp(target: FlowTarget): Promise<Flow | NoAnswer> {
  const socket = createSocket(isIPv6(target.to) ? 'udp6' : 'udp4');
  const inbox = new Inbox();
  socket.bind({ port: target.sourcePort ?? 0, ...(target.from === undefined ? {} : { address: target.from }) });
  try {
    await once(socket, 'listening');
    // Connected: a reply from any other address does not count, and ICMP errors arrive.
    socket.connect(target.port, target.to);
    await once(socket, 'connect');
  } catch (error) {
    socket.close();
    return meaning(error as NodeJS.ErrnoException);
  }
  socket.on('message', (data) => inbox.receive(data.toString('utf8')));
  socket.on('error', (error: NodeJS.ErrnoException) => inbox.fail(noAnswers[error.code ?? ''] ?? 'unreachable'));
  return {
    ask: (text, match, timeoutMs) => {
      inbox.forget();
      socket.send(text, (error) => error && inbox.fail(noAnswers[(error as NodeJS.ErrnoException).code ?? ''] ?? 'unreachable'));
      return inbox.await(match, timeoutMs);
    },
    close: () => socket.close(),
  };
}

// --- requests

const servers = new Map<number, WhoServer>();
const flows = new Map<number, { flow: Flow; proto: FlowTarget['proto'] }>();

async function serve(id: number, listeners: ListenerAddress[]): Promise<number> {
  const server: WhoServer = { tcp: [], udp: [], flows: new Set() };
  servers.set(id, server);
  await Promise.all(listeners.map(async (at) => (at.proto === 'tcp' ? serveTcp(server, at) : serveUdp(server, at))));
  return id;
}

function unserve(id: number, what: 'keep' | 'reset'): void {
  const server = servers.get(id);
  for (const listener of server?.tcp ?? []) listener.close();
  for (const socket of server?.udp ?? []) socket.close();
  if (what === 'reset') for (const socket of server?.flows ?? []) socket.resetAndDestroy();
  servers.delete(id);
}

/** Opens a flow and has the who-server say what it sees. */
async function open(id: number, target: FlowTarget): Promise<OpenedFlow | NoAnswer> {
  const flow = target.proto === 'tcp' ? await openTcp(target) : await openUdp(target);
  if (typeof flow === 'string') return flow;
  const nonce = randomBytes(6).toString('hex');
  const answer = await flow.ask(
    nonce,
    (received) => {
      const [line, echoed] = received.split('\n');
      return echoed?.includes(nonce) && line ? (JSON.parse(line) as WhoAnswer) : undefined;
    },
    target.timeoutMs ?? 1000,
  );
  if (typeof answer === 'string') {
    flow.close('reset');
    return answer;
  }
  flows.set(id, { flow, proto: target.proto });
  return { flow: id, answer };
}

async function echo(id: number, text: string, timeoutMs: number): Promise<'echoed' | NoAnswer> {
  const open = flows.get(id);
  if (!open) throw new Error(`flow ${id} is not open`);
  const marked = `${text}#${randomBytes(4).toString('hex')}`;
  return open.flow.ask(marked, (received) => (received.endsWith(marked) ? 'echoed' : undefined), timeoutMs);
}

function close(id: number, how: 'end' | 'reset'): void {
  flows.get(id)?.flow.close(how);
  flows.delete(id);
}

function perform(request: TrafficRequest): unknown {
  switch (request.op) {
    case 'serve':
      return serve(request.id, request.listeners);
    case 'unserve':
      return unserve(request.server, request.flows);
    case 'open':
      return open(request.id, request);
    case 'echo':
      return echo(request.flow, request.text, request.timeoutMs);
    case 'close':
      return close(request.flow, request.how);
  }
}

const input = createInterface({ input: process.stdin });
input.on('line', async (line) => {
  const request = JSON.parse(line) as TrafficRequest;
  try {
    say({ id: request.id, result: (await perform(request)) ?? null });
  } catch (error) {
    say({ id: request.id, error: error instanceof Error ? error.message : String(error) });
  }
});
input.on('close', () => process.exit(0));
say({ id: 0, result: 'ready' });
