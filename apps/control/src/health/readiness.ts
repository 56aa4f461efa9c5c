import type { Logger } from '@gwctl/shared/logging/logger';
import { Inject, Injectable } from '@nestjs/common';
import { LOGGER } from '../config/clock.js';
import { Database } from '../database/database.js';

/** Whether this replica can do its work. */
@Injectable()
export class Readiness {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** False while the database is away. */
  async ready(): Promise<boolean> {
    try {
      await this.database.ping();
      return true;
    } catch (error) {
      this.logger.debug({ err: error }, 'not ready');
      return false;
    }
  }
}
