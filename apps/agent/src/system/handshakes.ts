import { setTimeout as pause } from 'node:timers/promises';
import type { IpAddress } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { unlessUnavailable } from './libc.js';
import { loadLibc } from './netlink/libc.js';
import { readHandshakes } from './netlink/sock-diag.js';

/** A listener of TCP. Without an address: every one. */
export interface HandshakeListener {
  readonly address?: IpAddress;
  readonly ports: { readonly first: number; readonly last: number };
}

/**
 * Resolves once no client is in the middle of a handshake with any of these listeners of this host: the last segment of one finds a
 * socket that listens no more, and is answered with a reset. Without new clients that takes as long as the farthest of them is away.
 */
export type HandshakesOver = (listeners: readonly HandshakeListener[]) => Promise<void>;

export interface HandshakesOptions {
  /** Our side of all handshakes that are half done; undefined where that cannot be told. */
  readonly read: () => readonly { readonly address: IpAddress | 'any'; readonly port: number }[] | undefined;
  /** Default: on the clock. */
  readonly wait?: (ms: number) => Promise<unknown>;
}

/** Milliseconds between two looks. */
const LOOK_EVERY = 20;
/** Milliseconds. One answer of ours may get lost and is sent again after a second; who never answers is waited for no longer. */
const PATIENCE = 3_000;
/** Milliseconds, where nobody can tell. */
const UNKNOWN = 500;

export function handshakesOver({ read, wait = pause }: HandshakesOptions): HandshakesOver {
  return async (listeners) => {
    if (listeners.length === 0) return;
    for (let waited = 0; waited < PATIENCE; waited += LOOK_EVERY) {
      const halfDone = read();
      if (!halfDone) {
        await wait(UNKNOWN);
        return;
      }
      if (!halfDone.some((h) => listeners.some((l) => isWith(l, h)))) return;
      await wait(LOOK_EVERY);
    }
  };
}

const isWith = (
  { address, ports }: HandshakeListener,
  ours: { readonly address: IpAddress | 'any'; readonly port: number },
): boolean =>
  ours.port >= ports.first &&
  ours.port <= ports.last &&
  (!address || ours.address === 'any' || address.text === ours.address.text);

/** Asks the kernel by sock_diag, each time anew. */
export function halfDoneHandshakes(): HandshakesOptions['read'] {
  const libc = unlessUnavailable(loadLibc);
  return () => {
    if (!libc) return undefined;
    try {
      return readHandshakes(libc);
    } catch (error) {
      // A kernel without the module inet_diag.
      if (!(error instanceof AppError)) throw error;
      return undefined;
    }
  };
}
