import type { Logger } from '@gwctl/shared/logging/logger';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { LOGGER } from '../config/clock.js';
import { Database, type Tx } from './database.js';

const EVERY_MS = 10 * 60_000;

/** Removes what is no longer kept; answers with how many rows that were. */
export type Cleaning = (tx: Tx) => Promise<number>;

/** Forgets what is kept for a time only. Each module says what that is; audit entries are not among it. */
@Injectable()
export class Janitor implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly cleanings = new Map<string, Cleaning>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  add(what: string, cleaning: Cleaning): void {
    this.cleanings.set(what, cleaning);
  }

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.clean(), EVERY_MS);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  async clean(): Promise<void> {
    for (const [what, cleaning] of this.cleanings) {
      try {
        const rows = await this.database.run(cleaning);
        if (rows > 0) this.logger.debug({ what, rows }, 'forgot what is no longer kept');
      } catch (error) {
        this.logger.warn({ err: error, what }, 'could not forget what is no longer kept; trying again later');
      }
    }
  }
}
