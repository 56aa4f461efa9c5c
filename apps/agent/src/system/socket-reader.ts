import { open } from 'node:fs/promises';
import { AppError } from '@gwctl/shared/errors/app-error';
import { unlessUnavailable } from './libc.js';
import { loadLibc } from './netlink/libc.js';
import { readWaiting } from './netlink/sock-diag.js';
import { isConnection, parseSockets, type SocketReader, type WaitingSocket } from './sockets.js';

/**
 * Asks the kernel by sock_diag, and reads /proc/net where that does not work (no native calls, no module inet_diag), which takes
 * several milliseconds: there the kernel goes through its whole table of connections.
 */
export function socketReader(): SocketReader {
  let libc = unlessUnavailable(loadLibc);
  return async (protocol) => {
    if (libc) {
      try {
        return readWaiting(libc, protocol);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        libc = undefined;
      }
    }
    return readFromProc(protocol);
  };
}

export async function readFromProc(protocol: 'tcp' | 'udp'): Promise<WaitingSocket[]> {
  const texts = await Promise.all([readWaitingPart(`/proc/net/${protocol}`), readWaitingPart(`/proc/net/${protocol}6`)]);
  return texts.flatMap((text) => parseSockets(text, protocol));
}

/** Of TCP up to the first connection: a busy host has tens of thousands of them, and listeners come first. */
async function readWaitingPart(path: string): Promise<string> {
  const opened = await unlessMissing(open(path));
  if (opened === '') return '';
  try {
    let text = '';
    const buffer = Buffer.alloc(1 << 16);
    for (;;) {
      const { bytesRead } = await opened.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return text;
      const from = text.lastIndexOf('\n') + 1;
      text += buffer.toString('latin1', 0, bytesRead);
      if (!path.includes('udp') && text.slice(from).split('\n').some(isConnection)) return text;
    }
  } finally {
    await opened.close();
  }
}

/** A kernel without IPv6 has no files of it. */
async function unlessMissing<T>(reading: Promise<T>): Promise<T | ''> {
  try {
    return await reading;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
