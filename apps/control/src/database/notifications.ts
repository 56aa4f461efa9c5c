import { randomUUID } from 'node:crypto';
import type { Logger } from '@gwctl/shared/logging/logger';
import pg from 'pg';
import type { ConnectionOptions } from './database.js';

/** What changed: the desired state of a gateway, who holds its session, or what is known about a gateway, or about an entry (a forward, an egress). */
export type Topic = 'desired' | 'session' | 'gateway' | 'entry';

export interface Hint {
  readonly topic: Topic;
  readonly uid: string;
}

/** `everything`: something may have been missed, or it is time to look again. */
export type Wakeup = Hint | 'everything';

const CHANNEL = 'gwctl';
/** Wake-ups to other replicas are gathered for this long, so a burst of writes costs 20 a second, not one each. */
const GATHER_MS = 50;
/** How often everybody looks again, whether or not a notification came: a lost one costs at most this. */
const POLL_MS = 3_000;
const CHECK_MS = 5_000;
const RECONNECT_MS = 500;
/** NOTIFY payloads hold at most 8,000 bytes. */
const MAX_PAYLOAD = 7_500;

/**
 * Wake-ups between this replica's parts, and between replicas by LISTEN and NOTIFY. A wake-up carries nothing that matters: whoever
 * gets one reads the database. NOTIFY is issued right after the commit, not inside the transaction: inside, every commit with one
 * would take PostgreSQL's one notification lock, and commits would queue behind each other. A replica that dies between commit and
 * NOTIFY costs the others one poll.
 */
export class Notifications {
  /** This replica, new at each start. */
  readonly replica = randomUUID();
  private readonly connection: ConnectionOptions;
  private readonly logger: Logger;
  private readonly listeners = new Set<(wakeup: Wakeup) => void>();
  private readonly pending = new Map<string, Hint>();
  private client: pg.Client | undefined;
  private gathering: NodeJS.Timeout | undefined;
  private poll: NodeJS.Timeout | undefined;
  private check: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(options: { readonly connection: ConnectionOptions; readonly logger: Logger }) {
    this.connection = options.connection;
    this.logger = options.logger.child({ component: 'notifications' });
  }

  /** Connects and begins to poll. Resolves when it listens. */
  async start(): Promise<void> {
    this.poll = setInterval(() => this.emit('everything'), POLL_MS);
    await this.connect();
  }

  subscribe(listener: (wakeup: Wakeup) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Tells this replica at once and the others soon. */
  publish(hints: readonly Hint[]): void {
    for (const hint of hints) {
      this.emit(hint);
      this.pending.set(`${hint.topic}/${hint.uid}`, hint);
    }
    this.gathering ??= setTimeout(() => this.send(), GATHER_MS);
  }

  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.poll);
    clearTimeout(this.check);
    clearTimeout(this.gathering);
    await this.client?.end();
  }

  private emit(wakeup: Wakeup): void {
    for (const listener of this.listeners) listener(wakeup);
  }

  private send(): void {
    this.gathering = undefined;
    const hints = [...this.pending.values()].map(({ topic, uid }) => [topic, uid]);
    this.pending.clear();
    const payload = JSON.stringify({ from: this.replica, hints });
    const text = Buffer.byteLength(payload) <= MAX_PAYLOAD ? payload : JSON.stringify({ from: this.replica });
    this.client?.query('SELECT pg_notify($1, $2)', [CHANNEL, text]).catch((error: unknown) => {
      this.logger.warn({ err: error }, 'could not notify the other replicas; they find out by polling');
    });
  }

  private receive(payload: string | undefined): void {
    const message: unknown = JSON.parse(payload ?? 'null');
    const { from, hints } = (message ?? {}) as { from?: unknown; hints?: unknown };
    if (from === this.replica) return;
    if (!Array.isArray(hints)) this.emit('everything');
    else for (const [topic, uid] of hints as [Topic, string][]) this.emit({ topic, uid });
  }

  private async connect(): Promise<void> {
    const client = new pg.Client({
      ...this.connection,
      application_name: 'gwctl-listen',
      connectionTimeoutMillis: CHECK_MS,
      query_timeout: CHECK_MS,
      keepAlive: true,
    });
    // Before it is established, the failure of connect() says what happened; afterwards the first of these events does.
    let state: 'connecting' | 'established' | 'lost' = 'connecting';
    const lose = (error?: Error): void => {
      if (state !== 'established' || this.closed) return;
      state = 'lost';
      clearTimeout(this.check);
      this.client = undefined;
      this.logger.warn({ err: error }, 'the listening connection is lost; connecting again');
      // A dead connection may never answer its own end.
      client.end().catch((failure: unknown) => this.logger.debug({ err: failure }, 'closing the lost connection'));
      setTimeout(() => this.reconnect(), RECONNECT_MS);
    };
    client.on('error', lose);
    client.on('end', () => lose());
    client.on('notification', (message) => {
      try {
        this.receive(message.payload);
      } catch (error) {
        this.logger.warn({ err: error }, 'an unreadable notification; looking at everything');
        this.emit('everything');
      }
    });
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
    } catch (error) {
      client.end().catch((failure: unknown) => this.logger.debug({ err: failure }, 'closing the failed connection'));
      throw error;
    }
    state = 'established';
    this.client = client;
    this.emit('everything');
    // A connection can die without a word (a dropped route); so it is asked.
    const ask = (): void => {
      this.check = setTimeout(() => client.query('SELECT 1').then(ask, lose), CHECK_MS);
    };
    ask();
  }

  private reconnect(): void {
    if (this.closed) return;
    this.connect().catch((error: unknown) => {
      this.logger.warn({ err: error }, 'cannot listen for notifications; trying again');
      setTimeout(() => this.reconnect(), RECONNECT_MS);
    });
  }
}
