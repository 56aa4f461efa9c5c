import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock } from '../clock.js';
import { type HandshakeSockets, handshakeSockets } from '../system/handshake-sockets.js';
import { HandshakeProber } from './handshake-prober.js';
import { type Prober, TcpProber } from './prober.js';

export interface OpenProberOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Throws LIBC_UNAVAILABLE where they cannot be had; the host's own unless told. */
  readonly sockets?: () => HandshakeSockets;
}

/** The prober that targets notice least, of those that work on this host. */
export function openProber({ clock, log, sockets = handshakeSockets }: OpenProberOptions): Prober {
  try {
    return new HandshakeProber({ clock, sockets: sockets() });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    log.warn({ err: error }, 'targets are probed by whole connections, which their programs may log or count');
    return new TcpProber({ clock });
  }
}
