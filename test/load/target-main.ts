/**
 * The target, one thread. Some TCP ports discard what comes, without copying it; some send it back, as do those of UDP; some send
 * without end and never read.
 *   target-main.js DISCARD-PORTS ECHO-PORTS POUR-PORTS UDP-PORTS
 * each comma-separated or empty; an empty line on standard input asks for the counts.
 */
import { readSync, writeSync } from 'node:fs';
import {
  AF_INET,
  accept4,
  address,
  bind,
  close,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  listen,
  Messages,
  MSG_DONTWAIT,
  MSG_TRUNC,
  memory,
  must,
  noDelay,
  Poll,
  recv,
  recvmmsg,
  SO_RCVBUF,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  send,
  sendmmsg,
  setInt,
  socket,
} from './libc.js';
import type { TargetAnswer } from './protocol.js';

const BATCH = 64;
const DISCARD_BYTES = 4 << 20;
const poll = new Poll();
const chunk = memory(64 << 10);
const datagrams = new Messages(BATCH, 2048, true);
let bytes = 0;
let connections = 0;
const handlers = new Map<number, (events: number) => void>();

function watch(fd: number, ready: (events: number) => void, awaited = EPOLLIN): void {
  handlers.set(fd, ready);
  poll.add(fd, awaited);
}

function drop(fd: number): void {
  handlers.delete(fd);
  connections--;
  close(fd);
}

function discard(fd: number): void {
  const n = recv(fd, null, DISCARD_BYTES, MSG_TRUNC | MSG_DONTWAIT);
  if (n > 0) bytes += n;
  else if (n === 0) drop(fd);
}

function echo(fd: number, events: number): void {
  if (events & (EPOLLERR | EPOLLHUP)) {
    drop(fd);
    return;
  }
  const n = recv(fd, chunk.at, 64 << 10, MSG_DONTWAIT);
  if (n > 0) send(fd, chunk.at, n, MSG_DONTWAIT);
  else if (n === 0) drop(fd);
}

function pour(fd: number, events: number): void {
  if (events & (EPOLLERR | EPOLLHUP)) drop(fd);
  else send(fd, chunk.at, 64 << 10, MSG_DONTWAIT);
}

function listenTcp(port: number, serve: (fd: number, events: number) => void, awaited = EPOLLIN): void {
  const listener = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), 'socket');
  setInt(listener, SO_REUSEADDR, 1);
  must(bind(listener, address('0.0.0.0', port), 16), `bind to ${port}`);
  must(listen(listener, 65_535), 'listen');
  watch(listener, () => {
    for (let fd = 0; fd >= 0; ) {
      fd = accept4(listener, null, null, SOCK_NONBLOCK);
      if (fd < 0) break;
      const accepted = fd;
      connections++;
      noDelay(accepted);
      watch(accepted, (events) => serve(accepted, events), awaited);
    }
  });
}

function serveUdp(port: number): void {
  const fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), 'socket');
  setInt(fd, SO_RCVBUF, 8 << 20);
  must(bind(fd, address('0.0.0.0', port), 16), `bind to ${port}`);
  watch(fd, () => {
    const n = recvmmsg(fd, datagrams.at, BATCH, MSG_DONTWAIT, null);
    for (let i = 0; i < n; i++) datagrams.answerWithLength(i);
    if (n > 0) sendmmsg(fd, datagrams.at, n, MSG_DONTWAIT);
    for (let i = 0; i < n; i++) datagrams.reset(i);
  });
}

function answer(): void {
  const input = Buffer.alloc(64);
  const n = readSync(0, input);
  if (n === 0) process.exit(0);
  const asked = input.subarray(0, n).toString().split('\n').length - 1;
  const said: TargetAnswer = { bytes, connections, at: performance.now() };
  writeSync(1, `${JSON.stringify(said)}\n`.repeat(asked));
}

const [discards = [], echoes = [], pours = [], udps = []] = process.argv
  .slice(2)
  .map((ports) => ports.split(',').filter(Boolean).map(Number));
for (const port of discards) listenTcp(port, discard);
for (const port of echoes) listenTcp(port, echo);
for (const port of pours) listenTcp(port, pour, EPOLLOUT);
for (const port of udps) serveUdp(port);
watch(0, answer);
writeSync(1, 'ready\n');
for (;;) poll.wait(-1, (fd, events) => handlers.get(fd)?.(events));
