import type { Logger } from '@gwctl/shared/logging/logger';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { LOGGER } from '../config/clock.js';
import { Database } from '../database/database.js';
import { Notifications } from '../database/notifications.js';
import { type PendingReport, ReportsRepository } from './reports.repository.js';

/** Placements that one agent may have waiting; beyond it something is wrong with the agent. */
export const MAX_WAITING_PLACEMENTS = 50_000;
const RETRY_MS = 1_000;

export type ReportUpdate = Partial<Omit<PendingReport, 'gatewayUid' | 'sessionUid' | 'placements'>> & {
  readonly placements?: readonly (PendingReport['placements'] extends Map<string, infer R> ? R : never)[];
};

/**
 * Writes down what agents say, in batches: the first word goes at once, what comes while it is being written goes together next.
 * What an agent says twice meanwhile is written once. While the database is away, words wait.
 */
@Injectable()
export class ReportWriter implements OnApplicationShutdown {
  private pending = new Map<string, PendingReport>();
  private writing: Promise<void> | undefined;
  private closed = false;

  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(ReportsRepository) private readonly reports: ReportsRepository,
    @Inject(Notifications) private readonly notifications: Notifications,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Answers false where too much of this agent waits already. */
  enqueue(session: { readonly gatewayUid: string; readonly sessionUid: string }, update: ReportUpdate): boolean {
    const { gatewayUid, sessionUid } = session;
    let waiting = this.pending.get(sessionUid);
    if (!waiting) {
      waiting = { gatewayUid, sessionUid, spoke: false, complete: false, placements: new Map() };
      this.pending.set(sessionUid, waiting);
    }
    merge(waiting, update);
    this.writing ??= this.writeAll().finally(() => {
      this.writing = undefined;
    });
    return waiting.placements.size <= MAX_WAITING_PLACEMENTS;
  }

  async onApplicationShutdown(): Promise<void> {
    this.closed = true;
    await this.writing;
  }

  private async writeAll(): Promise<void> {
    // Let messages that arrive together become one batch.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.pending.size > 0) {
      const batch = this.pending;
      this.pending = new Map();
      try {
        const written = await this.database.transaction((tx) => this.reports.write(tx, [...batch.values()]));
        this.notifications.publish([
          ...written.entryUids.map((uid) => ({ topic: 'entry' as const, uid })),
          ...written.firstSpoken.map((uid) => ({ topic: 'session' as const, uid })),
          ...[...batch.values()].map(({ gatewayUid }) => ({ topic: 'gateway' as const, uid: gatewayUid })),
        ]);
      } catch (error) {
        this.logger.warn({ err: error }, 'reports of agents could not be written; trying again');
        if (this.closed) return;
        this.putBack(batch);
        await new Promise<void>((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** What came later wins over what could not be written. */
  private putBack(batch: ReadonlyMap<string, PendingReport>): void {
    for (const [key, old] of batch) {
      const newer = this.pending.get(key);
      if (newer) merge(old, { ...newer, placements: [...newer.placements.values()] });
      this.pending.set(key, old);
    }
  }
}

function merge(into: PendingReport, update: ReportUpdate): void {
  const { placements, spoke, complete, ...rest } = update;
  Object.assign(into, rest);
  if (complete) {
    into.placements.clear();
    into.complete = true;
  }
  if (spoke) into.spoke = true;
  for (const report of placements ?? []) into.placements.set(report.entryUid, report);
}
