import { clone, create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type CreateEgressRequest,
  CreateEgressRequestSchema,
  type Egress,
  EgressSchema,
  EgressService as EgressServiceDescriptor,
  type ListEgressesRequest,
  type UpdateEgressRequest,
} from '@gwctl/proto/gwctl/v1/egress_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { Notifications } from '../database/notifications.js';
import type { CallContext } from '../grpc/call-context.js';
import { GrpcRegistry } from '../grpc/registry.js';
import { parsePage } from '../resources/page.js';
import { applyMask } from '../resources/update-mask.js';
import { watch } from '../status/watch.js';
import { egressToWire, parseEgress, specFromJson } from './egress.mapper.js';
import type { EgressRecord } from './egress.repository.js';
import { EgressService } from './egress.service.js';
import { EgressReads, type EgressWithState } from './egress-reads.service.js';

const WRITABLE = ['labels', 'spec'];

/** gwctl.v1.EgressService. */
@Injectable()
export class EgressGrpc {
  constructor(
    @Inject(GrpcRegistry) registry: GrpcRegistry,
    @Inject(EgressService) private readonly writes: EgressService,
    @Inject(EgressReads) private readonly reads: EgressReads,
    @Inject(Notifications) private readonly notifications: Notifications,
  ) {
    registry.add({
      descriptor: EgressServiceDescriptor,
      implementation: {
        createEgress: (request, context) => this.create(request, context),
        getEgress: async ({ name }) => toWire(await this.reads.get(name)),
        listEgresses: (request) => this.list(request),
        updateEgress: (request, context) => this.update(request, context),
        deleteEgress: async ({ name, etag, validateOnly }, context) => ({
          revisions: (await this.writes.delete(name, { etag, validateOnly, context })).map(({ gateway, revision }) => ({
            gateway,
            revision,
          })),
        }),
        watchEgress: ({ name }, context) => this.watch(name, context),
      },
    });
  }

  private async create(request: CreateEgressRequest, context: CallContext) {
    const wanted = parseEgress(required(request.egress));
    const withoutId = clone(CreateEgressRequestSchema, request);
    withoutId.requestId = '';
    const record = await this.writes.create(wanted, {
      context,
      validateOnly: request.validateOnly,
      requestId: request.requestId,
      content: toBinary(CreateEgressRequestSchema, withoutId),
    });
    return toWire(await this.reads.withState(record));
  }

  private async update(request: UpdateEgressRequest, context: CallContext) {
    const source = required(request.egress);
    const paths = request.updateMask?.paths ?? [];
    const change = (current: EgressRecord) => {
      const spec = specFromJson(current.spec);
      const standing = create(EgressSchema, { name: current.name, labels: { ...current.labels }, spec });
      return parseEgress(applyMask(EgressSchema, standing, source, { paths, writable: WRITABLE }));
    };
    const record = await this.writes.update(source.name, {
      context,
      validateOnly: request.validateOnly,
      etag: source.etag,
      change,
    });
    return toWire(await this.reads.withState(record));
  }

  private async list(request: ListEgressesRequest) {
    const filter = { gateway: request.gateway || undefined, labels: request.labels };
    const page = parsePage(request, filter);
    const egresses = await this.reads.list({ ...filter, pageSize: page.size + 1, after: page.after });
    const shown = egresses.slice(0, page.size);
    const last = shown.at(-1);
    return { egresses: shown.map(toWire), nextPageToken: egresses.length > page.size && last ? page.next(last.record.name) : '' };
  }

  private async *watch(name: string, { signal }: CallContext): AsyncGenerator<MessageInitShape<typeof EgressSchema>> {
    const { uid } = (await this.reads.get(name)).record;
    const egresses = watch({
      notifications: this.notifications,
      signal,
      read: () => this.reads.get(name, uid),
      concerns: (wakeup, last) =>
        wakeup === 'everything' || wakeup.uid === uid || (wakeup.topic === 'session' && last.state?.gatewayUid === wakeup.uid),
      print: ({ record, state }) =>
        JSON.stringify([record.version, state], (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v)),
    });
    for await (const egress of egresses) yield toWire(egress);
  }
}

const toWire = ({ record, state }: EgressWithState) => egressToWire(record, state);

function required(egress: Egress | undefined): Egress {
  if (!egress) throw AppError.invalid([{ field: 'egress', description: 'is missing' }]);
  return egress;
}
