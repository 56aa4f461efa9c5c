import { Inject, Module, type OnModuleInit } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';
import { EventsModule } from '../events/events.module.js';
import { StatusModule } from '../status/status.module.js';
import { AgentReports } from './agent-reports.js';
import { DesiredFeed } from './desired-feed.js';
import { SessionJournal } from './session-journal.js';
import { SessionOpener } from './session-opener.js';
import { SessionRegistry } from './session-registry.js';
import { SessionsGrpc } from './sessions.grpc.js';
import { SessionsRepository } from './sessions.repository.js';

@Module({
  imports: [StatusModule, EventsModule],
  providers: [SessionsRepository, SessionRegistry, SessionJournal, SessionOpener, DesiredFeed, AgentReports, SessionsGrpc],
})
export class SessionsModule implements OnModuleInit {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(Database) private readonly database: Database,
    @Inject(SessionsRepository) private readonly repository: SessionsRepository,
  ) {}

  /** With the embedded database there is no other replica: what is still marked live was left by a run that was killed. */
  async onModuleInit(): Promise<void> {
    if (this.config.database.kind === 'embedded') await this.database.run((tx) => this.repository.endAll(tx));
  }
}
