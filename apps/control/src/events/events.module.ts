import { Inject, Module } from '@nestjs/common';
import { Janitor } from '../database/janitor.js';
import { EventsGrpc } from './events.grpc.js';
import { EventsRepository } from './events.repository.js';
import { EventsService } from './events.service.js';

const KEEP = { days: 30, rows: 100_000 };

@Module({ providers: [EventsRepository, EventsService, EventsGrpc], exports: [EventsService, EventsRepository] })
export class EventsModule {
  constructor(@Inject(Janitor) janitor: Janitor, @Inject(EventsRepository) events: EventsRepository) {
    janitor.add('events', (tx) => events.prune(tx, KEEP));
  }
}
