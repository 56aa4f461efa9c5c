import { AppError } from '@gwctl/shared/errors/app-error';
import { callFailed, type Libc } from './libc.js';
import { dumpRequest, endOfDump, type Message, splitMessages } from './messages.js';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const BUFFER_BYTES = 1 << 16;

/** Asks the kernel for all objects of a kind and waits for them, a second at most: they are there as soon as it is asked. */
export function dump(libc: Libc, protocol: number, type: number, body?: Buffer): Message[] {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol);
  if (fd < 0) throw callFailed(libc, 'socket');
  try {
    const timeout = Buffer.alloc(16);
    timeout.writeBigInt64LE(1n, 0);
    if (libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length) < 0) throw callFailed(libc, 'setsockopt');
    const request = dumpRequest(type, body);
    if (libc.send(fd, request, request.length, 0) < 0) throw callFailed(libc, 'send');
    return receiveAll(libc, fd);
  } finally {
    libc.close(fd);
  }
}

function receiveAll(libc: Libc, fd: number): Message[] {
  const all: Message[] = [];
  for (;;) {
    const buffer = Buffer.alloc(BUFFER_BYTES);
    const length = libc.recv(fd, buffer, buffer.length, 0);
    if (length < 0) throw callFailed(libc, 'recv');
    const messages = splitMessages(buffer.subarray(0, length));
    const end = endOfDump(messages);
    all.push(...messages);
    if (end && end.errno !== 0)
      throw new AppError({
        code: 'UNAVAILABLE',
        reason: 'SYSTEM_CALL_FAILED',
        message: `the kernel refused to list objects of a kind with errno ${end.errno}`,
      });
    if (end) return all;
  }
}
