/** Load by TCP: streams, short connections, questions and answers. */
import { randomBytes } from 'node:crypto';
import {
  AF_INET,
  abortAtClose,
  address,
  close,
  connect,
  connecting,
  EAGAIN,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  errno,
  memory,
  must,
  noDelay,
  Poll,
  receiveTimeout,
  recv,
  SOCK_STREAM,
  send,
  setNonBlocking,
  socket,
} from './libc.js';
import type { CommandOf, LoadAnswer } from './protocol.js';

/** What a question and its answer are long. */
const MESSAGE = 64;
const message = memory(MESSAGE);
/** What a stream sends at a time, over and over; copied by send(2), as almost every program sends. Small enough to stay in caches. */
const CHUNK = 256 << 10;
const chunk = memory(CHUNK);
chunk.buffer.set(randomBytes(CHUNK));

const now = (): number => performance.now();

function open(to: Buffer): number {
  const fd = must(socket(AF_INET, SOCK_STREAM, 0), 'socket');
  must(connect(fd, to, 16), 'connect');
  noDelay(fd);
  return fd;
}

export function stream({ to, port, streams, ms }: CommandOf<'stream'>): LoadAnswer {
  const poll = new Poll();
  const fds = Array.from({ length: streams }, () => open(address(to, port)));
  const began = now();
  if (streams === 1) {
    // Blocks in the kernel: nothing is cheaper.
    for (const fd of fds) while (now() - began < ms) must(send(fd, chunk.at, CHUNK, 0), 'send');
  } else {
    for (const fd of fds) {
      setNonBlocking(fd);
      poll.add(fd, EPOLLOUT);
    }
    while (now() - began < ms)
      poll.wait(100, (fd) => {
        if (send(fd, chunk.at, CHUNK, 0) < 0 && errno() !== EAGAIN) throw new Error(`send failed with errno ${errno()}`);
      });
  }
  const took = now() - began;
  for (const fd of fds) {
    abortAtClose(fd);
    close(fd);
  }
  poll.close();
  return { ms: took };
}

export function short({ to, port, concurrency, ms }: CommandOf<'short'>): LoadAnswer {
  const at = address(to, port);
  const poll = new Poll();
  let [count, failed, open] = [0, 0, 0];
  const start = () => {
    const fd = connecting(at);
    poll.add(fd, EPOLLIN | EPOLLOUT | EPOLLET);
    open++;
  };
  const sent = new Set<number>();
  const end = (fd: number) => {
    close(fd);
    sent.delete(fd);
    open--;
    if (running) start();
  };
  const ready = (fd: number, events: number) => {
    if (events & (EPOLLERR | EPOLLHUP)) {
      failed++;
      end(fd);
    } else if (events & EPOLLIN) {
      if (recv(fd, message.at, MESSAGE, 0) === MESSAGE) count++;
      else failed++;
      end(fd);
    } else if (!sent.has(fd)) {
      sent.add(fd);
      send(fd, message.at, MESSAGE, 0);
    }
  };
  let running = true;
  const began = now();
  for (let i = 0; i < concurrency; i++) start();
  while (now() - began < ms) poll.wait(100, ready);
  running = false;
  const result = { count, failed, ms: now() - began };
  // What is under way comes to its end; it is not counted.
  for (const patience = now() + 2000; open > 0 && now() < patience; ) poll.wait(100, ready);
  poll.close();
  return result;
}

function exchange(fd: number): boolean {
  return send(fd, message.at, MESSAGE, 0) === MESSAGE && recv(fd, message.at, MESSAGE, 0) === MESSAGE;
}

const kept = new Map<string, number>();

/** A connection through a proxy is there once the first answer is. */
function conversation(to: string, port: number): number {
  const fd = open(address(to, port));
  receiveTimeout(fd, 2000);
  for (let i = 0; i < 20; i++) if (!exchange(fd)) throw new Error('no answer to the first question');
  return fd;
}

export function latency({ to, port, ms, kept: keep = false }: CommandOf<'latency'>): LoadAnswer {
  const name = `${to}:${port}`;
  const fd = (keep ? kept.get(name) : undefined) ?? conversation(to, port);
  if (keep) kept.set(name, fd);
  const taken: number[] = [];
  try {
    const end = now() + ms;
    for (let before = now(); before < end; ) {
      if (!exchange(fd)) throw new Error('no answer within 2 s');
      const after = now();
      taken.push((after - before) * 1000);
      before = after;
    }
  } finally {
    if (!keep) close(fd);
  }
  taken.sort((a, b) => a - b);
  const at = (share: number) => taken[Math.max(0, Math.ceil(taken.length * share) - 1)] ?? Number.NaN;
  return { count: taken.length, p50: at(0.5), p99: at(0.99) };
}
