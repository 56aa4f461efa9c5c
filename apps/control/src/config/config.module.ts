import type { Logger } from '@gwctl/shared/logging/logger';
import { type DynamicModule, Global, Module } from '@nestjs/common';
import { CLOCK, type Clock, LOGGER } from './clock.js';
import { CONFIG, type Config } from './config.js';

/** What the application is started with: configuration, clock and logger. */
@Global()
@Module({})
export class ConfigModule {}

export function configModule(given: { readonly config: Config; readonly clock: Clock; readonly logger: Logger }): DynamicModule {
  const providers = [
    { provide: CONFIG, useValue: given.config },
    { provide: CLOCK, useValue: given.clock },
    { provide: LOGGER, useValue: given.logger },
  ];
  return { module: ConfigModule, providers, exports: providers };
}
