import { Global, Inject, Module } from '@nestjs/common';
import { Janitor } from '../database/janitor.js';
import { ClaimsRepository } from './claims.repository.js';
import { DesiredStateService } from './desired-state.service.js';
import { RevisionTimes } from './revision-times.js';
import { RevisionsRepository } from './revisions.repository.js';

/** An agent that was away longer gets a snapshot instead of changes. */
const CHANGE_LOG = { hours: 24, rows: 100_000 };

@Global()
@Module({
  providers: [RevisionsRepository, ClaimsRepository, RevisionTimes, DesiredStateService],
  exports: [RevisionsRepository, RevisionTimes, DesiredStateService],
})
export class RevisionsModule {
  constructor(@Inject(Janitor) janitor: Janitor, @Inject(RevisionsRepository) revisions: RevisionsRepository) {
    janitor.add('changes', (tx) => revisions.prune(tx, CHANGE_LOG));
  }
}
