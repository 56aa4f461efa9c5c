import type { Logger } from '@gwctl/shared/logging/logger';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { LOGGER } from '../config/clock.js';
import { Database } from '../database/database.js';
import { EventsRepository, type NewEvent } from './events.repository.js';

/** Events that may wait for the database; the oldest make room. */
const MAX_WAITING = 10_000;
const RETRY_MS = 1_000;

/** Writes events down in batches. Losing some while the database is away for long is better than holding all of them. */
@Injectable()
export class EventsService implements OnApplicationShutdown {
  private waiting: NewEvent[] = [];
  private writing: Promise<void> | undefined;
  private closed = false;

  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(EventsRepository) private readonly events: EventsRepository,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  record(event: NewEvent): void {
    this.waiting.push(event);
    if (this.waiting.length > MAX_WAITING) this.waiting.shift();
    this.writing ??= this.writeAll().finally(() => {
      this.writing = undefined;
    });
  }

  async onApplicationShutdown(): Promise<void> {
    this.closed = true;
    await this.writing;
  }

  private async writeAll(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.waiting.length > 0) {
      const batch = this.waiting;
      this.waiting = [];
      try {
        await this.database.run((tx) => this.events.append(tx, batch));
      } catch (error) {
        this.logger.warn({ err: error, events: batch.length }, 'events could not be written; trying again');
        if (this.closed) return;
        this.waiting = [...batch, ...this.waiting].slice(-MAX_WAITING);
        await new Promise<void>((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }
}
