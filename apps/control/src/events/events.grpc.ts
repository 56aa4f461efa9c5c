import { fromJson, type JsonValue, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { type EventSchema, EventService, type ListEventsRequest } from '@gwctl/proto/gwctl/v1/event_pb';
import { DriftSchema } from '@gwctl/proto/gwctl/v1/types_pb';
import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { GrpcRegistry } from '../grpc/registry.js';
import { parsePage } from '../resources/page.js';
import { type EventRecord, EventsRepository, eventKey } from './events.repository.js';

/** gwctl.v1.EventService. */
@Injectable()
export class EventsGrpc {
  constructor(
    @Inject(GrpcRegistry) registry: GrpcRegistry,
    @Inject(Database) private readonly database: Database,
    @Inject(EventsRepository) private readonly events: EventsRepository,
  ) {
    registry.add({ descriptor: EventService, implementation: { listEvents: (request) => this.list(request) } });
  }

  private async list(request: ListEventsRequest) {
    const filter = {
      gateway: request.gateway || undefined,
      forward: request.forward || undefined,
      egress: request.egress || undefined,
    };
    const page = parsePage(request, filter);
    const found = await this.database.run((tx) =>
      this.events.list(tx, { ...filter, pageSize: page.size + 1, after: page.after }),
    );
    const shown = found.slice(0, page.size);
    const last = shown.at(-1);
    return { events: shown.map(toWire), nextPageToken: found.length > page.size && last ? page.next(eventKey(last)) : '' };
  }
}

function toWire({
  uid,
  time,
  gateway,
  forward,
  egress,
  reason,
  message,
  drift,
}: EventRecord): MessageInitShape<typeof EventSchema> {
  return {
    ...{ uid, gateway, forward, egress, reason, message },
    time: timestampFromDate(time),
    ...(drift ? { drift: fromJson(DriftSchema, drift as JsonValue, { ignoreUnknownFields: true }) } : {}),
  };
}
