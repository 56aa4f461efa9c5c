import { chmod, chown, mkdir, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { PeerCredentials } from '../system/peer-credentials.js';
import type { StatusReport } from './report.js';

/** sockaddr_un holds 108 bytes with the closing zero (unix(7)). */
const LONGEST_PATH = 107;
const MOST_CONNECTIONS = 16;
/** Milliseconds that a reader may take. */
const PATIENCE = 5_000;

export interface StatusServerOptions {
  readonly socket: string;
  /** The directory of the socket is the agent's own: it is made, and closed to others. */
  readonly ownDirectory: boolean;
  /** The group whose members may ask, where it exists. */
  readonly gid: number | undefined;
  readonly report: () => StatusReport;
  /** Who is at the other end of a connection; throws where that cannot be told. */
  readonly credentials: (socket: Socket) => PeerCredentials;
  readonly log: Logger;
}

/** What is sent: the report, or why there is none. One JSON document, then the end. */
export type StatusAnswer =
  | { readonly status: StatusReport }
  | { readonly error: { readonly reason: string; readonly message: string } };

/**
 * Tells local administrators how things stand: a unix socket that takes no requests. Permissions of directory and socket keep others
 * out, and the kernel's word about the peer does so again: root, the agent's own user, members of the group.
 */
export class StatusServer {
  private readonly server: Server;

  constructor(private readonly options: StatusServerOptions) {
    this.server = createServer((socket) => this.answer(socket));
    this.server.maxConnections = MOST_CONNECTIONS;
  }

  async start(): Promise<void> {
    const { socket, gid, ownDirectory } = this.options;
    if (Buffer.byteLength(socket) > LONGEST_PATH)
      throw new AppError({
        code: 'INVALID_ARGUMENT',
        reason: 'SOCKET_PATH_TOO_LONG',
        message: `the path of the status socket is longer than ${LONGEST_PATH} bytes: ${socket}; name a shorter one with --socket`,
      });
    const dir = dirname(socket);
    if (ownDirectory) {
      await mkdir(dir, { recursive: true, mode: 0o750 });
      await chmod(dir, 0o750);
      if (gid !== undefined) await chown(dir, -1, gid);
    }
    // Left by an agent that was killed; the lock on the state directory says that none is alive.
    await rm(socket, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(socket, resolve);
    });
    if (gid !== undefined) await chown(socket, -1, gid);
    await chmod(socket, 0o660);
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private answer(socket: Socket): void {
    socket.on('error', (error) => this.options.log.debug({ err: error }, 'a reader of the status went away'));
    socket.setTimeout(PATIENCE, () => socket.destroy());
    // Nothing that comes is read.
    socket.pause();
    socket.end(`${JSON.stringify(this.reply(socket))}\n`);
  }

  private reply(socket: Socket): StatusAnswer {
    let peer: PeerCredentials;
    try {
      peer = this.options.credentials(socket);
    } catch (error) {
      this.options.log.warn({ err: error }, 'somebody asked for the status and could not be identified');
      return denied('the kernel does not say who you are');
    }
    const { gid } = this.options;
    const allowed = peer.uid === 0 || peer.uid === process.getuid?.() || (gid !== undefined && peer.gids.includes(gid));
    if (!allowed) {
      this.options.log.warn({ uid: peer.uid, pid: peer.pid }, 'somebody asked for the status who may not');
      return denied(`user ${peer.uid} may not ask`);
    }
    return { status: this.options.report() };
  }
}

const denied = (why: string): StatusAnswer => ({
  error: { reason: 'STATUS_DENIED', message: `${why}; run this as root, or as a member of the group gwctl` },
});

/** The descriptor under a connected socket. Node.js has it and does not document it. */
export function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof fd !== 'number' || fd < 0) throw new Error('this version of Node.js does not tell the descriptor of a socket');
  return fd;
}
