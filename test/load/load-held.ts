/** Connections that are opened and stay: idle, exchanging, or never read. */
import {
  abortAtClose,
  address,
  close,
  connecting,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  memory,
  Poll,
  recv,
  send,
} from './libc.js';
import type { CommandOf, LoadAnswer } from './protocol.js';

const MESSAGE = 64;
const message = memory(MESSAGE);
/** Handshakes at a time; more would overrun the queue of a listener whose program is slow. */
const AT_ONCE = 256;

type State = 'connecting' | 'asked' | 'answered' | 'failed';

let poll: Poll | undefined;
let echoes = true;
const held = new Map<number, State>();
const counted: Record<State, number> = { connecting: 0, asked: 0, answered: 0, failed: 0 };

function become(fd: number, state: State): void {
  const before = held.get(fd);
  if (before) counted[before]--;
  counted[state]++;
  held.set(fd, state);
}

function ready(fd: number, events: number): void {
  const connecting = held.get(fd) === 'connecting';
  if (events & (EPOLLERR | EPOLLHUP)) become(fd, 'failed');
  else if (connecting) {
    become(fd, 'asked');
    if (echoes) send(fd, message.at, MESSAGE, 0);
  } else if (events & EPOLLIN && echoes) {
    const n = recv(fd, message.at, MESSAGE, 0);
    if (n === MESSAGE) become(fd, 'answered');
    else if (n === 0) become(fd, 'failed');
  }
}

export function hold(command: CommandOf<'hold'>): LoadAnswer {
  const { from, to, port, count, echo, ms } = command;
  const at = address(to, port);
  const mine = new Poll();
  poll = mine;
  echoes = echo;
  const end = performance.now() + ms;
  for (let i = 0; i < count; i++) {
    const fd = connecting(at, address(from[i % from.length] ?? '0.0.0.0', 0));
    become(fd, 'connecting');
    mine.add(fd, EPOLLIN | EPOLLOUT | EPOLLET);
    while (counted.connecting >= AT_ONCE && performance.now() < end) mine.wait(100, ready);
  }
  while (counted.connecting > 0 && performance.now() < end) mine.wait(100, ready);
  return awaitAnswers({ ms: end - performance.now() });
}

export function awaitAnswers({ ms }: { readonly ms: number }): LoadAnswer {
  const end = performance.now() + ms;
  const began = performance.now();
  while (echoes && counted.answered + counted.failed < held.size && performance.now() < end) poll?.wait(50, ready);
  const count = echoes ? counted.answered : counted.asked;
  return { count, failed: counted.failed, ms: performance.now() - began };
}

export function exchange({ concurrency, ms }: CommandOf<'exchange'>): LoadAnswer {
  const fds = [...held.keys()];
  let [next, count, underWay] = [0, 0, 0];
  const ask = () => {
    send(fds[next++ % fds.length] ?? -1, message.at, MESSAGE, 0);
    underWay++;
  };
  const answered = (fd: number, events: number) => {
    if (!(events & EPOLLIN) || recv(fd, message.at, MESSAGE, 0) !== MESSAGE) return;
    count++;
    underWay--;
    if (performance.now() < end) ask();
  };
  const began = performance.now();
  const end = began + ms;
  for (let i = 0; i < Math.min(concurrency, fds.length); i++) ask();
  while (performance.now() < end) poll?.wait(100, answered);
  const result = { count, ms: performance.now() - began };
  for (const patience = performance.now() + 2000; underWay > 0 && performance.now() < patience; ) poll?.wait(100, answered);
  return { ...result, failed: underWay };
}

export function release(): LoadAnswer {
  const count = held.size;
  for (const fd of held.keys()) {
    abortAtClose(fd);
    close(fd);
  }
  held.clear();
  for (const state of ['connecting', 'asked', 'answered', 'failed'] as const) counted[state] = 0;
  poll?.close();
  poll = undefined;
  return { count };
}

export function halfOpen({ from, to, port, count }: CommandOf<'halfOpen'>): LoadAnswer {
  const at = address(to, port);
  const source = address(from, 0);
  const began = performance.now();
  for (let i = 0; i < count; i++) close(connecting(at, source));
  return { count, ms: performance.now() - began };
}
