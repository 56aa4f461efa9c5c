import { callFailed } from '../errno.js';
import { AF_PACKET, SOCK_CLOEXEC, SOCK_RAW } from '../native/constants.js';
import type { Libc } from './libc.js';

/** Sends whole Ethernet frames out of an interface. Throws SYSTEM_CALL_FAILED, for instance without the capability CAP_NET_RAW. */
export function sendFrames(libc: Libc, link: number, frames: readonly Buffer[]): void {
  // Protocol 0: it only sends, so nothing is ever queued for it.
  const fd = libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) throw callFailed(libc, 'socket');
  try {
    const address = Buffer.alloc(20);
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeInt32LE(link, 4);
    if (libc.bind(fd, address, address.length) < 0) throw callFailed(libc, 'bind');
    for (const frame of frames) if (libc.send(fd, frame, frame.length, 0) < 0) throw callFailed(libc, 'send');
  } finally {
    libc.close(fd);
  }
}
