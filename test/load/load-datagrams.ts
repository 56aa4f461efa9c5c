/** Load by UDP: many sockets, each with a few datagrams under way, so that nothing is lost for want of room. */
import {
  AF_INET,
  address,
  close,
  connect,
  EPOLLIN,
  Messages,
  MSG_DONTWAIT,
  must,
  Poll,
  recvmmsg,
  SO_RCVBUF,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  sendmmsg,
  setInt,
  socket,
} from './libc.js';
import type { CommandOf, LoadAnswer } from './protocol.js';

/** Answers that have not come by then are counted as lost, and others are sent in their place. */
const PATIENCE_MS = 100;

interface Sender {
  readonly fd: number;
  underWay: number;
  heard: number;
}

export function datagrams(command: CommandOf<'datagrams'>): LoadAnswer {
  const { to, port, sockets, window, bytes, ms } = command;
  const poll = new Poll();
  const messages = new Messages(window, bytes, false);
  const senders = new Map<number, Sender>();
  for (let i = 0; i < sockets; i++) {
    const fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), 'socket');
    setInt(fd, SO_RCVBUF, 1 << 20);
    must(connect(fd, address(to, port), 16), 'connect');
    poll.add(fd, EPOLLIN);
    senders.set(fd, { fd, underWay: 0, heard: performance.now() });
  }
  let [count, lost] = [0, 0];
  const fill = (sender: Sender) => {
    const n = sendmmsg(sender.fd, messages.at, window - sender.underWay, MSG_DONTWAIT);
    if (n > 0) sender.underWay += n;
  };
  const began = performance.now();
  let now = began;
  const ready = (fd: number) => {
    const sender = senders.get(fd) as Sender;
    const n = recvmmsg(fd, messages.at, window, MSG_DONTWAIT, null);
    if (n <= 0) return;
    count += n;
    sender.underWay = Math.max(0, sender.underWay - n);
    sender.heard = now;
    fill(sender);
  };
  for (const sender of senders.values()) fill(sender);
  for (let looked = began; now - began < ms; ) {
    poll.wait(PATIENCE_MS / 2, ready);
    now = performance.now();
    if (now - looked < PATIENCE_MS / 2) continue;
    looked = now;
    for (const sender of senders.values()) {
      if (now - sender.heard < PATIENCE_MS) continue;
      lost += sender.underWay;
      sender.underWay = 0;
      sender.heard = now;
      fill(sender);
    }
  }
  for (const fd of senders.keys()) close(fd);
  poll.close();
  return { count, failed: lost, ms: now - began };
}
