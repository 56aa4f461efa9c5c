import { type DynamicModule, Global, Module } from '@nestjs/common';
import { Database } from './database.js';
import { Janitor } from './janitor.js';
import { Notifications } from './notifications.js';

/** The database as it was opened before the application was put together. Whoever opened it closes it. */
@Global()
@Module({})
export class DatabaseModule {}

export function databaseModule(opened: { readonly database: Database; readonly notifications: Notifications }): DynamicModule {
  const providers = [
    { provide: Database, useValue: opened.database },
    { provide: Notifications, useValue: opened.notifications },
  ];
  return { module: DatabaseModule, providers: [...providers, Janitor], exports: [...providers, Janitor] };
}
