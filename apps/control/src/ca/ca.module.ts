import { type DynamicModule, Global, Module } from '@nestjs/common';
import { Ca } from './ca.js';

/** The certificate authority as it was opened before the application was put together. */
@Global()
@Module({})
export class CaModule {}

export function caModule(ca: Ca): DynamicModule {
  const providers = [{ provide: Ca, useValue: ca }];
  return { module: CaModule, providers, exports: providers };
}
