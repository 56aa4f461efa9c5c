import { refused } from '../errno.js';
import type { Libc } from './libc.js';
import { dumpRequest, endOfDump, type Message } from './messages.js';
import { NetlinkSocket } from './socket.js';

/** Asks the kernel for all objects of a kind and waits for them, a second at most: they are there as soon as it is asked. */
export function dump(libc: Libc, protocol: number, type: number, body?: Buffer): Message[] {
  const socket = NetlinkSocket.open(libc, protocol);
  try {
    socket.send(dumpRequest(type, body));
    const all: Message[] = [];
    for (;;) {
      const messages = socket.receive();
      const end = endOfDump(messages);
      all.push(...messages);
      if (end && end.errno !== 0) throw refused(end.errno, 'list objects of a kind');
      if (end) return all;
    }
  } finally {
    socket.close();
  }
}
