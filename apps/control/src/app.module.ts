import type { Logger } from '@gwctl/shared/logging/logger';
import { type DynamicModule, Module } from '@nestjs/common';
import { AuditModule } from './audit/audit.module.js';
import { AuthModule } from './auth/auth.module.js';
import type { Ca } from './ca/ca.js';
import { caModule } from './ca/ca.module.js';
import type { Clock } from './config/clock.js';
import type { Config } from './config/config.js';
import { configModule } from './config/config.module.js';
import type { Database } from './database/database.js';
import { databaseModule } from './database/database.module.js';
import type { Notifications } from './database/notifications.js';
import { EgressModule } from './egress/egress.module.js';
import { EventsModule } from './events/events.module.js';
import { ForwardsModule } from './forwards/forwards.module.js';
import { GatewaysModule } from './gateways/gateways.module.js';
import { GrpcModule } from './grpc/grpc.module.js';
import { HealthModule } from './health/health.module.js';
import { RevisionsModule } from './revisions/revisions.module.js';
import { SessionsModule } from './sessions/sessions.module.js';
import { StatusModule } from './status/status.module.js';
import { SystemModule } from './system/system.module.js';

/** What is opened before the application is put together, in the order in which it must be closed after it. */
export interface Foundations {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly database: Database;
  readonly notifications: Notifications;
  readonly ca: Ca;
}

/** One module for each noun, on the foundations. */
@Module({})
export class AppModule {}

export const appModule = (foundations: Foundations): DynamicModule => ({
  module: AppModule,
  imports: [
    configModule(foundations),
    databaseModule(foundations),
    caModule(foundations.ca),
    GrpcModule,
    AuditModule,
    AuthModule,
    RevisionsModule,
    GatewaysModule,
    ForwardsModule,
    EgressModule,
    StatusModule,
    EventsModule,
    SessionsModule,
    SystemModule,
    HealthModule,
  ],
});
