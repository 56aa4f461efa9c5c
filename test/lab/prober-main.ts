// Runs inside a host: tries a listener again and again and counts. Arguments: the options as JSON. Says {"event":"settled"}
// at the first success; a line on standard input ends it with a report. Nothing but types is imported from beside it.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, isIPv6, type Socket } from 'node:net';
import type { ProberEvent, ProberOptions, ProberReport } from './prober-protocol.js';
import type { NoAnswer } from './traffic-protocol.js';

const options = JSON.parse(process.argv[2] ?? '{}') as ProberOptions;
const proto = options.proto ?? 'tcp';
const periodMs = 1000 / (options.rate ?? 100);
const timeoutMs = options.timeoutMs ?? 900;

function say(event: ProberEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

function meaning(error: NodeJS.ErrnoException): NoAnswer {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'refused';
    case 'ECONNRESET':
    case 'EPIPE':
      return 'reset';
    case 'ETIMEDOUT':
      return 'timeout';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EPERM':
    case 'EACCES':
      return 'unreachable';
    default:
      // Out of source ports, no such address: the measurement itself is wrong, and says so.
      throw error;
  }
}

// --- counting

const report: ProberReport = {
  attempts: 0,
  succeeded: 0,
  lost: 0,
  refused: 0,
  broken: 0,
  longestGapMs: 0,
  longestAnswerMs: 0,
  beforeSettled: 0,
  failures: [],
  survived: true,
};
let settledAt: number | undefined;
/** Start of each success; they may end in another order. */
const successes: number[] = [];

function count(startedAt: number, outcome: 'ok' | NoAnswer): void {
  if (settledAt === undefined) {
    if (outcome !== 'ok') {
      report.beforeSettled++;
      return;
    }
    settledAt = startedAt;
    say({ event: 'settled' });
  }
  report.attempts++;
  if (outcome === 'ok') {
    report.succeeded++;
    report.longestAnswerMs = Math.max(report.longestAnswerMs, performance.now() - startedAt);
    successes.push(startedAt);
    return;
  }
  if (outcome === 'timeout') report.lost++;
  else if (outcome === 'refused') report.refused++;
  else report.broken++;
  if (report.failures.length < 50) report.failures.push({ atMs: Math.round(startedAt - settledAt), how: outcome });
}

function finish(lastStart: number): void {
  successes.sort((a, b) => a - b);
  let previous = settledAt ?? lastStart;
  for (const at of [...successes, lastStart]) {
    report.longestGapMs = Math.max(report.longestGapMs, at - previous);
    previous = at;
  }
  report.longestGapMs = Math.round(report.longestGapMs);
  report.longestAnswerMs = Math.round(report.longestAnswerMs);
  process.stdout.write(`${JSON.stringify({ event: 'report', report } satisfies ProberEvent)}\n`, () => process.exit(0));
}

// --- one flow

interface ProbeFlow {
  send(text: string): void;
  close(): void;
}

function openTcp(received: (text: string) => void, failed: (how: NoAnswer) => void, ready: () => void): ProbeFlow {
  const socket: Socket = connect({
    host: options.to,
    port: options.port,
    noDelay: true,
    ...(options.from === undefined ? {} : { localAddress: options.from }),
  });
  socket.setEncoding('utf8');
  socket.on('connect', ready);
  socket.on('data', received);
  socket.on('error', (error) => failed(meaning(error)));
  socket.on('end', () => failed('closed'));
  // A reset leaves no TIME_WAIT: a hundred a second would use up the source ports.
  return { send: (text) => socket.write(text), close: () => socket.resetAndDestroy() };
}

function openUdp(received: (text: string) => void, failed: (how: NoAnswer) => void, ready: () => void): ProbeFlow {
  const socket: UdpSocket = createSocket(isIPv6(options.to) ? 'udp6' : 'udp4');
  socket.on('message', (data) => received(data.toString('utf8')));
  socket.on('error', (error: NodeJS.ErrnoException) => failed(meaning(error)));
  socket.bind({ port: 0, ...(options.from === undefined ? {} : { address: options.from }) }, () =>
    socket.connect(options.port, options.to, ready),
  );
  let open = true;
  return {
    send: (text) => socket.send(text, (error) => error && open && failed(meaning(error as NodeJS.ErrnoException))),
    close: () => {
      open = false;
      socket.close();
    },
  };
}

const openFlow = proto === 'tcp' ? openTcp : openUdp;

let running = 0;

function attempt(number: number): void {
  const startedAt = performance.now();
  const nonce = `probe-${number}.`;
  let text = '';
  let over = false;
  running++;
  const end = (outcome: 'ok' | NoAnswer) => {
    if (over) return;
    over = true;
    running--;
    clearTimeout(timer);
    flow.close();
    count(startedAt, outcome);
  };
  const timer = setTimeout(() => end('timeout'), timeoutMs);
  const flow = openFlow(
    (data) => {
      text += data;
      if (text.includes(nonce)) end('ok');
    },
    end,
    () => !over && flow.send(nonce),
  );
}

// --- one flow that must survive

let longFlow: ProbeFlow | undefined;
const pings = new Map<number, number>();

/** Connects until it works the first time; from then on every failure counts and nothing is opened again. */
function openLongFlow(): void {
  let text = '';
  let over = false;
  const flow = openFlow(
    (data) => {
      text += data;
      for (const [whole, number] of text.matchAll(/probe-(\d+)\./g)) {
        const startedAt = pings.get(Number(number));
        if (startedAt !== undefined) count(startedAt, 'ok');
        pings.delete(Number(number));
        text = text.slice(text.indexOf(whole) + whole.length);
      }
    },
    (how) => {
      if (over) return;
      over = proto === 'tcp' || settledAt === undefined;
      if (settledAt === undefined) {
        report.beforeSettled++;
        longFlow = undefined;
        pings.clear();
        flow.close();
        setTimeout(openLongFlow, 20);
        return;
      }
      count(performance.now(), how);
      if (over) {
        longFlow = undefined;
        report.survived = false;
      }
    },
    () => {
      longFlow = flow;
    },
  );
}

function ping(number: number): void {
  const now = performance.now();
  for (const [key, startedAt] of pings) {
    if (now - startedAt < timeoutMs) break;
    pings.delete(key);
    count(startedAt, 'timeout');
  }
  if (!longFlow) return;
  pings.set(number, now);
  longFlow.send(`probe-${number}.`);
}

// --- clockwork

const step = options.kind === 'longFlow' ? ping : attempt;
if (options.kind === 'longFlow') openLongFlow();
const began = performance.now();
let number = 0;
let lastStart = began;
const clock = setInterval(() => {
  // Late timers are made up for, so that the rate is kept on a busy machine.
  for (; began + number * periodMs <= performance.now(); number++) {
    lastStart = performance.now();
    step(number);
  }
}, periodMs);

process.stdin.once('data', () => {
  clearInterval(clock);
  const deadline = performance.now() + timeoutMs;
  const wait = setInterval(() => {
    const underWay = longFlow ? pings.size : running;
    if (underWay > 0 && performance.now() < deadline) return;
    clearInterval(wait);
    for (const startedAt of pings.values()) count(startedAt, 'timeout');
    if (options.kind === 'longFlow' && settledAt === undefined) report.survived = false;
    finish(lastStart);
  }, 2);
});
process.stdin.on('end', () => process.exit(1)); // the test has gone
