import { callFailed } from '../errno.js';
import {
  AF_NETLINK,
  EAGAIN,
  EINTR,
  MSG_DONTWAIT,
  NETLINK_ADD_MEMBERSHIP,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_NETLINK,
  SOL_SOCKET,
} from '../native/constants.js';
import type { Libc } from './libc.js';
import { type Message, splitMessages } from './messages.js';
import { sharedPoller } from './poller.js';

/** Holds a few thousand announcements; what does not fit is announced as lost (ENOBUFS). */
const BUFFER_BYTES = 4 << 20;

/** What the kernel announced; `lost`: some of it did not reach us, so whoever cares reads everything back. */
export interface Announced {
  readonly messages: readonly Message[];
  readonly lost: boolean;
}

/**
 * Listens to what the kernel announces to these groups of a netlink protocol in this network namespace. After an error of listening
 * itself it tells once of a loss and ends. Throws where the kernel refuses.
 */
export function watchMulticast(options: {
  readonly libc: Libc;
  readonly protocol: number;
  readonly groups: readonly number[];
  readonly onAnnounced: (announced: Announced) => void;
}): { close(): void } {
  const { libc, onAnnounced } = options;
  const fd = subscribe(libc, options.protocol, options.groups);
  const poller = sharedPoller(libc);
  const buffer = Buffer.alloc(1 << 18);
  poller.add(fd, () => {
    const { failed, ...announced } = drain(libc, fd, buffer);
    if (failed) poller.remove(fd);
    if (announced.lost || announced.messages.length > 0) onAnnounced(announced);
  });
  return { close: () => poller.remove(fd) };
}

/** Reads all that waits. Any error but "nothing more" means that something was missed. */
function drain(libc: Libc, fd: number, buffer: Buffer): Announced & { readonly failed: boolean } {
  const messages: Message[] = [];
  for (let errors = 0; errors < 8; ) {
    const length = libc.recv(fd, buffer, buffer.length, MSG_DONTWAIT);
    if (length >= 0) messages.push(...splitMessages(Buffer.from(buffer.subarray(0, length))));
    else if (libc.errno() === EAGAIN) return { messages, lost: errors > 0, failed: false };
    else if (libc.errno() !== EINTR) errors++;
  }
  return { messages, lost: true, failed: true };
}

function subscribe(libc: Libc, protocol: number, groups: readonly number[]): number {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) throw callFailed(libc, 'socket');
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK, 0);
  const set = (level: number, option: number, value: number) => {
    const data = Buffer.alloc(4);
    data.writeInt32LE(value);
    return libc.setsockopt(fd, level, option, data, data.length);
  };
  const failed =
    (libc.bind(fd, address, address.length) < 0 && 'bind') ||
    // Without the privilege to force it, the kernel's own limit holds.
    (set(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES) < 0 && set(SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES) < 0 && 'setsockopt') ||
    (groups.some((group) => set(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group) < 0) && 'setsockopt');
  if (!failed) return fd;
  const error = callFailed(libc, failed);
  libc.close(fd);
  throw error;
}
