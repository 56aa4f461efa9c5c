import { chmod, chown, lstat, rename, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import { errorCode } from '../../state-dir/atomic-file.js';
import type { PeerCredentials } from '../../system/peer-credentials.js';
import { LineCutter } from '../lines.js';
import { BATCH, type NumberedRequest, type RelayEvent, type Request, readRequest } from '../protocol.js';
import { listensAt } from './running-relay.js';

/** Agents and people who look. */
const MOST_CONNECTIONS = 16;
/** Bytes that wait for somebody who does not read, until he is let go. */
const MOST_WAITING = 64 * 1024 * 1024;
/** sockaddr_un holds 108 bytes with the closing zero (unix(7)). */
const LONGEST_PATH = 107;

/** The answer to a request: rows, which go out in parts, or one value. */
export type Answer = { readonly rows: readonly unknown[] } | { readonly value: unknown };

export interface ControlServerOptions {
  readonly socket: string;
  readonly gid: number | undefined;
  /** Who is at the other end; undefined where this host cannot tell: then the permissions of the socket decide alone. */
  readonly credentials: ((socket: Socket) => PeerCredentials) | undefined;
  readonly answer: (request: Request) => Promise<Answer>;
  readonly log: Logger;
}

/**
 * Where the relay is told what to carry. It appears under its name at once and with its permissions: bound under another name, it is
 * renamed over what may be there, also over that of a predecessor. Let in are root and the relay's own user.
 */
export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #server: Server;
  readonly #connections = new Set<Socket>();
  #inode: bigint | undefined;

  constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  get connections(): number {
    return this.#connections.size;
  }

  async start(): Promise<void> {
    const { socket, gid, credentials } = this.#options;
    const bound = `${socket}.${process.pid}`;
    if (Buffer.byteLength(bound) > LONGEST_PATH)
      throw new AppError({
        code: 'INVALID_ARGUMENT',
        reason: 'SOCKET_PATH_TOO_LONG',
        message: `the path of the relay's socket is longer than ${LONGEST_PATH} bytes: ${bound}; use a shorter --state-dir`,
      });
    try {
      await rm(bound, { force: true });
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(bound, resolve);
      });
      if (credentials && gid !== undefined) await chown(bound, -1, gid);
      await chmod(bound, credentials ? 0o660 : 0o600);
      this.#inode = (await lstat(bound, { bigint: true })).ino;
      await rename(bound, socket);
    } catch (cause) {
      throw new AppError({
        code: 'FAILED_PRECONDITION',
        reason: 'SOCKET_UNUSABLE',
        message: `the relay's socket ${socket} cannot be made: ${errorCode(cause) ?? String(cause)}; its directory must be there, and the relay's own`,
        cause,
      });
    }
  }

  /** Whether somebody else listens under this server's name: then nobody finds it any more. */
  async isReplaced(): Promise<boolean> {
    const { socket } = this.#options;
    return !(await this.#hasName(true)) && listensAt(socket);
  }

  /** Tells everybody who is connected. */
  push(event: RelayEvent): void {
    if (this.#connections.size === 0) return;
    const line = `${JSON.stringify(event)}\n`;
    for (const socket of this.#connections) this.#write(socket, line);
  }

  /** Nobody new comes, who is there is let go once he has read all, and the name goes where it is still ours. */
  async stop(): Promise<void> {
    await this.#forgetName();
    this.#server.close();
    const gone = [...this.#connections].map((socket) => ended(socket));
    for (const socket of this.#connections) socket.end();
    await Promise.all(gone);
  }

  async #forgetName(): Promise<void> {
    if (await this.#hasName(false)) await rm(this.#options.socket);
  }

  /** `otherwise`: where the name is nobody's. */
  async #hasName(otherwise: boolean): Promise<boolean> {
    try {
      return (await lstat(this.#options.socket, { bigint: true })).ino === this.#inode;
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return otherwise;
      throw error;
    }
  }

  #accept(socket: Socket): void {
    socket.on('error', (error) => this.#options.log.debug({ err: error }, 'an agent went away'));
    if (!this.#maySpeak(socket)) {
      socket.destroy();
      return;
    }
    this.#connections.add(socket);
    socket.once('close', () => this.#connections.delete(socket));
    const lines = new LineCutter();
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const line of lines.push(chunk)) void this.#carryOut(socket, readRequest(line));
      } catch (error) {
        this.#options.log.warn({ err: error }, 'somebody does not speak as an agent does');
        socket.destroy();
      }
    });
  }

  #maySpeak(socket: Socket): boolean {
    const { credentials, log } = this.#options;
    if (!credentials) return true;
    try {
      const peer = credentials(socket);
      if (peer.uid === 0 || peer.uid === process.getuid?.()) return true;
      log.warn({ uid: peer.uid, pid: peer.pid }, 'somebody tried to speak to the relay who may not');
    } catch (error) {
      log.warn({ err: error }, 'somebody tried to speak to the relay and could not be identified');
    }
    return false;
  }

  async #carryOut(socket: Socket, { id, request }: NumberedRequest): Promise<void> {
    try {
      const answer = await this.#options.answer(request);
      const rows = 'rows' in answer ? answer.rows : [];
      for (let from = 0; from < rows.length; from += BATCH)
        this.#write(socket, `${JSON.stringify({ id, part: rows.slice(from, from + BATCH) })}\n`);
      this.#write(socket, `${JSON.stringify({ id, ok: 'value' in answer ? answer.value : null })}\n`);
    } catch (error) {
      this.#options.log.warn({ err: error, op: request.op }, 'a request failed');
      const { reason, message } = AppError.from(error);
      this.#write(socket, `${JSON.stringify({ id, error: { reason, message } })}\n`);
    }
  }

  #write(socket: Socket, line: string): void {
    if (!socket.writable) return;
    socket.write(line);
    if (socket.writableLength <= MOST_WAITING) return;
    this.#options.log.warn('an agent does not read what it asked for; it is let go');
    socket.destroy();
  }
}

/** Milliseconds that somebody may take to read the last of it. */
const LAST_WORDS = 1_000;

function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    const timer = setTimeout(() => socket.destroy(), LAST_WORDS);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
