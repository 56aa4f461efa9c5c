import { connect, type Socket } from 'node:net';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock, Timer } from '../clock.js';
import { LineCutter } from './lines.js';
import { type EndingReason, type Hello, type RelayEvent, readHello, readReceived } from './protocol.js';

/** Milliseconds that a relay may take for an answer. */
const PATIENCE = 10_000;

interface Asked {
  readonly rows: unknown[];
  readonly resolve: (answer: { readonly rows: readonly unknown[]; readonly value: unknown }) => void;
  readonly reject: (error: AppError) => void;
  readonly timer: Timer;
}

export interface LinkOptions {
  readonly socket: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds that it may take to say what it is. Default: 10 s. */
  readonly patience?: number;
}

/** One connection to a running relay. It keeps the process from ending only while an answer is awaited. */
export class RelayLink {
  /** Resolves when the connection is gone: with what the relay said of its end, or undefined where it said nothing. */
  readonly closed: Promise<EndingReason | undefined>;
  #hello!: Hello;
  readonly #socket: Socket;
  readonly #options: LinkOptions;
  readonly #asked = new Map<number, Asked>();
  readonly #listeners = new Set<(event: RelayEvent) => void>();
  #last = 0;
  #ending: EndingReason | undefined;

  private constructor(socket: Socket, options: LinkOptions) {
    this.#socket = socket;
    this.#options = options;
    const lines = new LineCutter();
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const line of lines.push(chunk)) this.#take(line);
      } catch (error) {
        options.log.error({ err: error }, 'the relay does not speak as a relay does');
        socket.destroy();
      }
    });
    socket.on('error', (error) => options.log.debug({ err: error }, 'the connection to the relay broke'));
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        for (const [id, { reject }] of this.#asked) this.#settle(id, () => reject(gone()));
        resolve(this.#ending);
      });
    });
  }

  /** Undefined where none listens there. Throws where one does and does not speak as it must, or does not speak (RELAY_SILENT). */
  static async open(options: LinkOptions): Promise<RelayLink | undefined> {
    const socket = await connected(options.socket);
    if (!socket) return undefined;
    const link = new RelayLink(socket, options);
    try {
      link.#hello = readHello((await link.ask('"op":"hello"', options.patience)).value);
      return link;
    } catch (error) {
      socket.destroy();
      // It ended while it was being greeted.
      if (error instanceof AppError && error.reason === 'RELAY_GONE') return undefined;
      throw error;
    }
  }

  get hello(): Hello {
    return this.#hello;
  }

  get alive(): boolean {
    return !this.#socket.destroyed;
  }

  onEvent(listener: (event: RelayEvent) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Sends a request, `fields` being the inside of its JSON object. Rejects with what the relay answered, with RELAY_GONE where it ends
   * instead, and with RELAY_SILENT where nothing comes within `patience` milliseconds (default 10 s).
   */
  ask(fields: string, patience = PATIENCE): Promise<{ readonly rows: readonly unknown[]; readonly value: unknown }> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      if (!this.alive) return reject(gone());
      const timer = this.#options.clock.after(patience, () => {
        this.#settle(id, () => reject(silent(this.#hello?.pid, patience)));
        // Whatever it still says would be taken for something else.
        this.#socket.destroy();
      });
      this.#asked.set(id, { rows: [], resolve, reject, timer });
      this.#socket.ref();
      this.#socket.write(`{"id":${id},${fields}}\n`);
    });
  }

  /** Awaits the end of the other side, and keeps this process from ending meanwhile. */
  async untilClosed(): Promise<EndingReason | undefined> {
    this.#socket.ref();
    return this.closed;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(line: string): void {
    const received = readReceived(line);
    if (received.kind === 'event') {
      if (received.event.event === 'ending') this.#ending = received.event.why;
      for (const listener of this.#listeners) listener(received.event);
      return;
    }
    const { id } = received;
    const asked = this.#asked.get(id);
    if (!asked) return;
    if (received.kind === 'part') asked.rows.push(...received.rows);
    else if (received.kind === 'ok') this.#settle(id, () => asked.resolve({ rows: asked.rows, value: received.value }));
    else this.#settle(id, () => asked.reject(refused(received)));
  }

  #settle(id: number, how: () => void): void {
    const asked = this.#asked.get(id);
    if (!asked) return;
    this.#asked.delete(id);
    asked.timer.cancel();
    if (this.#asked.size === 0) this.#socket.unref();
    how();
  }
}

function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const failed = (error: NodeJS.ErrnoException) => {
      // Nothing there, or a name that a killed relay left.
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined);
      else if (error.code === 'EAGAIN') reject(crowded(path));
      else reject(unreachable(path, error));
    };
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      resolve(socket);
    });
  });
}

const gone = () => new AppError({ code: 'UNAVAILABLE', reason: 'RELAY_GONE', message: 'the relay ended before it answered' });

const silent = (pid: number | undefined, patience: number) =>
  new AppError({
    code: 'UNAVAILABLE',
    reason: 'RELAY_SILENT',
    message: `the relay${pid === undefined ? '' : ` (pid ${pid})`} did not answer within ${patience / 1000} s`,
  });

/** One that hangs accepts nobody either, and the kernel keeps only so many waiting (unix(7)). */
const crowded = (path: string) =>
  new AppError({
    code: 'UNAVAILABLE',
    reason: 'RELAY_SILENT',
    message: `the relay at ${path} does not accept anybody any more`,
  });

const refused = ({ reason, message }: { readonly reason: string; readonly message: string }) =>
  new AppError({ code: 'FAILED_PRECONDITION', reason, message: `the relay says: ${message}` });

const unreachable = (path: string, cause: NodeJS.ErrnoException) =>
  new AppError({
    code: cause.code === 'EACCES' ? 'PERMISSION_DENIED' : 'UNAVAILABLE',
    reason: 'RELAY_UNREACHABLE',
    message: `the relay's socket ${path} cannot be used (${cause.code}); run this as the user whose relay it is, or as root`,
    cause,
  });
