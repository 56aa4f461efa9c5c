import type { Logger } from '@gwctl/shared/logging/logger';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { LOGGER } from '../config/clock.js';
import { Database } from '../database/database.js';
import { type AuditEntry, AuditRepository } from './audit.repository.js';

/** One entry for each address and reason in this time: a flood of refusals must not fill the database. */
const REPEAT_MS = 10_000;
const MAX_KNOWN = 1_000;

/** Records what happened outside a transaction of its own: refusals and facts about sessions. */
@Injectable()
export class AuditService implements OnApplicationShutdown {
  private readonly recent = new Map<string, { at: number; suppressed: number }>();
  private readonly writing = new Set<Promise<void>>();

  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(AuditRepository) private readonly repository: AuditRepository,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Writes soon; repeats of the same refusal from the same address are counted into the next entry. */
  refused(entry: AuditEntry): void {
    const key = `${entry.source}|${entry.method}|${entry.result}`;
    const now = performance.now();
    const last = this.recent.get(key);
    if (last && now - last.at < REPEAT_MS) {
      last.suppressed++;
      return;
    }
    if (this.recent.size >= MAX_KNOWN) this.recent.clear();
    this.recent.set(key, { at: now, suppressed: 0 });
    this.record(last?.suppressed ? { ...entry, after: { repeated: last.suppressed } } : entry);
  }

  /** Writes soon, and says so in the log if it cannot. */
  record(entry: AuditEntry): void {
    const write = this.database
      .run((tx) => this.repository.append(tx, entry))
      .catch((error: unknown) => this.logger.error({ err: error, entry }, 'an audit entry could not be written'))
      .finally(() => this.writing.delete(write));
    this.writing.add(write);
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all(this.writing);
  }
}
