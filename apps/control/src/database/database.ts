import type { Logger } from '@gwctl/shared/logging/logger';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { isRetryable, translateDatabaseError } from './database-errors.js';
import { type Prisma, PrismaClient } from './generated/client.js';

/** How pg connects: to a URL, or to the embedded database's socket. */
export type ConnectionOptions = Pick<pg.ClientConfig, 'connectionString' | 'host' | 'port' | 'user' | 'database'>;

/** A running transaction, or the client itself where there is none. Repositories take it; nobody else looks inside. */
export type Tx = Prisma.TransactionClient;

/** Connections at most: a few more than a two-core machine can make use of. */
const POOL_SIZE = 16;
const CONNECT_TIMEOUT_MS = 5_000;
/** A statement that takes longer is ended: nothing here should. */
const STATEMENT_TIMEOUT_MS = 30_000;
const DEADLOCK_RETRIES = 5;
const MAX_STATEMENTS = 500;

/** The one way to the database: pool, Prisma client on it, transactions. Errors of a database that is away become UNAVAILABLE. */
export class Database {
  readonly connection: ConnectionOptions;
  private readonly logger: Logger;
  private readonly pool: pg.Pool;
  private readonly prisma: PrismaClient;

  constructor(options: { readonly connection: ConnectionOptions; readonly logger: Logger; readonly poolSize?: number }) {
    this.connection = options.connection;
    this.logger = options.logger.child({ component: 'database' });
    this.pool = new pg.Pool({
      ...options.connection,
      application_name: 'gwctl-control',
      max: options.poolSize ?? POOL_SIZE,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      idleTimeoutMillis: 60_000,
      keepAlive: true,
      statement_timeout: STATEMENT_TIMEOUT_MS,
    });
    // An idle connection that breaks is the pool's to replace; without a listener it would end the process.
    this.pool.on('error', (error) => this.logger.warn({ err: error }, 'an idle database connection broke'));
    // Nor may one break unheard between two owners, while it is handed out or taken back.
    this.pool.on('connect', (client) => {
      client.on('error', (error) => this.logger.debug({ err: error }, 'a database connection broke'));
    });
    const adapter = new PrismaPg(this.pool, {
      onConnectionError: (error) => this.logger.warn({ err: error }, 'a database connection broke'),
      // Prepared once for each connection: the statements of this program are few and repeat.
      statementNameGenerator: ({ sql }) => this.statementName(sql),
    });
    this.prisma = new PrismaClient({ adapter, transactionOptions: { maxWait: CONNECT_TIMEOUT_MS, timeout: 10_000 } });
  }

  private readonly statementNames = new Map<string, string>();

  private statementName(sql: string): string {
    let name = this.statementNames.get(sql);
    if (name === undefined) {
      // Statements with lists have as many shapes as lengths; those beyond the cap are sent unnamed.
      if (this.statementNames.size >= MAX_STATEMENTS) return '';
      name = `s${this.statementNames.size}`;
      this.statementNames.set(sql, name);
    }
    return name;
  }

  /** Runs single statements outside a transaction. */
  async run<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    try {
      return await work(this.prisma);
    } catch (error) {
      throw translateDatabaseError(error);
    }
  }

  /**
   * Runs `work` in one transaction; what it throws rolls back. After a deadlock it runs again from the start, so it must have no
   * effect outside the database. No network call belongs inside: it would hold locks for as long as the network likes.
   */
  async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.prisma.$transaction(work);
      } catch (error) {
        if (attempt >= DEADLOCK_RETRIES || !isRetryable(error)) throw translateDatabaseError(error);
        this.logger.debug({ err: error, attempt }, 'transaction runs again');
      }
    }
  }

  /** Runs `work` like a transaction and rolls it back: everything is checked, nothing is changed. */
  async rehearse<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    let done: { readonly value: T } | undefined;
    const curtain = new Error('rehearsal ends');
    try {
      return await this.transaction(async (tx) => {
        done = { value: await work(tx) };
        throw curtain;
      });
    } catch (error) {
      if (done && error === curtain) return done.value;
      throw error;
    }
  }

  /** Throws UNAVAILABLE unless the database answers. */
  async ping(): Promise<void> {
    await this.run((tx) => tx.$queryRaw`SELECT 1`);
  }

  async close(): Promise<void> {
    await this.prisma.$disconnect();
    await this.pool.end();
  }
}
