import { clone, create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import {
  type CreateForwardRequest,
  CreateForwardRequestSchema,
  type Forward,
  type ForwardFilter,
  ForwardSchema,
  ForwardService,
  type ListForwardsRequest,
  type UpdateForwardRequest,
} from '@gwctl/proto/gwctl/v1/forward_pb';
import { PlacementState } from '@gwctl/proto/gwctl/v1/types_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { placementStateWords } from '@gwctl/shared/wire/words';
import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../config/clock.js';
import { Notifications } from '../database/notifications.js';
import type { CallContext } from '../grpc/call-context.js';
import { GrpcRegistry } from '../grpc/registry.js';
import { parsePage } from '../resources/page.js';
import { applyMask } from '../resources/update-mask.js';
import { watch } from '../status/watch.js';
import { ForwardReads, type ForwardWithStates } from './forward-reads.service.js';
import { forwardToWire, parseForward, specFromJson } from './forwards.mapper.js';
import type { ForwardRecord } from './forwards.repository.js';
import { ForwardsService } from './forwards.service.js';

const WRITABLE = ['labels', 'spec'];

/** gwctl.v1.ForwardService. */
@Injectable()
export class ForwardsGrpc {
  constructor(
    @Inject(GrpcRegistry) registry: GrpcRegistry,
    @Inject(ForwardsService) private readonly writes: ForwardsService,
    @Inject(ForwardReads) private readonly reads: ForwardReads,
    @Inject(Notifications) private readonly notifications: Notifications,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    registry.add({
      descriptor: ForwardService,
      implementation: {
        createForward: (request, context) => this.create(request, context),
        getForward: async ({ name }) => toWire(await this.reads.get(name)),
        listForwards: (request) => this.list(request),
        updateForward: (request, context) => this.update(request, context),
        deleteForward: async ({ name, etag, validateOnly }, context) => ({
          revisions: (await this.writes.delete(name, { etag, validateOnly, context })).map(({ gateway, revision }) => ({
            gateway,
            revision,
          })),
        }),
        watchForward: ({ name }, context) => this.watch(name, context),
      },
    });
  }

  private async create(request: CreateForwardRequest, context: CallContext) {
    const wanted = parseForward(required(request.forward), { now: this.clock.now() });
    const withoutId = clone(CreateForwardRequestSchema, request);
    withoutId.requestId = '';
    const record = await this.writes.create(wanted, {
      context,
      validateOnly: request.validateOnly,
      requestId: request.requestId,
      content: toBinary(CreateForwardRequestSchema, withoutId),
    });
    return toWire(await this.reads.withStates(record));
  }

  private async update(request: UpdateForwardRequest, context: CallContext) {
    const source = required(request.forward);
    const paths = request.updateMask?.paths ?? [];
    const change = (current: ForwardRecord) => {
      const spec = specFromJson(current.spec);
      const standing = create(ForwardSchema, { name: current.name, labels: { ...current.labels }, spec });
      const changed = applyMask(ForwardSchema, standing, source, { paths, writable: WRITABLE });
      return parseForward(changed, { now: this.clock.now(), standingExpiry: spec.expires && timestampMs(spec.expires) });
    };
    const record = await this.writes.update(source.name, {
      context,
      validateOnly: request.validateOnly,
      etag: source.etag,
      change,
    });
    return toWire(await this.reads.withStates(record));
  }

  private async list(request: ListForwardsRequest) {
    const filter = parseFilter(request.filter);
    const page = parsePage(request, filter);
    const forwards = await this.reads.list({ ...filter, pageSize: page.size + 1, after: page.after });
    const shown = forwards.slice(0, page.size);
    const last = shown.at(-1);
    return { forwards: shown.map(toWire), nextPageToken: forwards.length > page.size && last ? page.next(last.record.name) : '' };
  }

  private async *watch(name: string, { signal }: CallContext): AsyncGenerator<MessageInitShape<typeof ForwardSchema>> {
    const { uid } = (await this.reads.get(name)).record;
    const forwards = watch({
      notifications: this.notifications,
      signal,
      read: () => this.reads.get(name, uid),
      concerns: (wakeup, last) =>
        wakeup === 'everything' ||
        wakeup.uid === uid ||
        (wakeup.topic === 'session' && last.states.some((s) => s.gatewayUid === wakeup.uid)),
      print: ({ record, states }) =>
        JSON.stringify([record.version, states], (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v)),
    });
    for await (const forward of forwards) yield toWire(forward);
  }
}

const toWire = ({ record, states }: ForwardWithStates) => forwardToWire(record, states);

function required(forward: Forward | undefined): Forward {
  if (!forward) throw AppError.invalid([{ field: 'forward', description: 'is missing' }]);
  return forward;
}

function parseFilter(filter: ForwardFilter | undefined) {
  const state = filter?.state ?? PlacementState.UNSPECIFIED;
  const word = placementStateWords.fromWire(state);
  if (state !== PlacementState.UNSPECIFIED && word === undefined)
    throw AppError.invalid([{ field: 'filter.state', description: `${state} is not a placement state` }]);
  return {
    gateway: filter?.gateway || undefined,
    labels: filter?.labels ?? {},
    owner: filter?.owner || undefined,
    state: word,
  };
}
