import { Global, Inject, Module } from '@nestjs/common';
import { Janitor } from '../database/janitor.js';
import { AuditRepository } from './audit.repository.js';
import { AuditService } from './audit.service.js';
import { Journal } from './journal.js';
import { RequestIdsRepository } from './request-ids.repository.js';

const providers = [AuditRepository, AuditService, RequestIdsRepository, Journal];

@Global()
@Module({ providers, exports: providers })
export class AuditModule {
  constructor(@Inject(Janitor) janitor: Janitor, @Inject(RequestIdsRepository) requestIds: RequestIdsRepository) {
    janitor.add('request ids', (tx) => requestIds.removeOld(tx));
  }
}
