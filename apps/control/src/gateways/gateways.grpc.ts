import { clone, create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  type CreateGatewayRequest,
  CreateGatewayRequestSchema,
  GatewaySchema,
  GatewayService,
  type ListGatewaysRequest,
  type UpdateGatewayRequest,
} from '@gwctl/proto/gwctl/v1/gateway_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { Notifications } from '../database/notifications.js';
import type { CallContext } from '../grpc/call-context.js';
import { GrpcRegistry } from '../grpc/registry.js';
import { ServerAddresses } from '../grpc/server-addresses.js';
import { parsePage } from '../resources/page.js';
import { applyMask } from '../resources/update-mask.js';
import { watch } from '../status/watch.js';
import { gatewayToWire, parseGateway, settingsFromJson } from './gateways.mapper.js';
import type { GatewayRecord } from './gateways.repository.js';
import { GatewaysService } from './gateways.service.js';
import { JoinTokensService } from './join-tokens.service.js';

const WRITABLE = ['labels', 'cordoned', 'settings'];

/** gwctl.v1.GatewayService. */
@Injectable()
export class GatewaysGrpc {
  constructor(
    @Inject(GrpcRegistry) registry: GrpcRegistry,
    @Inject(GatewaysService) private readonly gateways: GatewaysService,
    @Inject(JoinTokensService) private readonly tokens: JoinTokensService,
    @Inject(Notifications) private readonly notifications: Notifications,
    @Inject(ServerAddresses) private readonly addresses: ServerAddresses,
  ) {
    registry.add({
      descriptor: GatewayService,
      implementation: {
        createGateway: (request, context) => this.create(request, context),
        getGateway: async ({ name }) => gatewayToWire(await this.gateways.get(name)),
        listGateways: (request) => this.list(request),
        updateGateway: (request, context) => this.update(request, context),
        deleteGateway: async ({ name, etag }, context) => {
          await this.gateways.delete(name, { etag, context });
          return {};
        },
        createJoinToken: async ({ gateway, ttlSeconds, sourceCidr }, context) => {
          const servers = this.addresses.advertised;
          const made = await this.tokens.create({ gateway, ttlSeconds, sourceCidr, servers, context });
          return { joinString: made.joinString, expireTime: timestampFromDate(made.expireTime) };
        },
        allowMassRemoval: async ({ name, revision }, context) =>
          gatewayToWire(await this.gateways.allowMassRemoval(name, { revision, context })),
        watchGateway: ({ name }, context) => this.watch(name, context),
      },
    });
  }

  private async create(request: CreateGatewayRequest, context: CallContext) {
    const wanted = parseGateway(request.gateway);
    const withoutId = clone(CreateGatewayRequestSchema, request);
    withoutId.requestId = '';
    const content = toBinary(CreateGatewayRequestSchema, withoutId);
    const { validateOnly, requestId } = request;
    return gatewayToWire(await this.gateways.create(wanted, { context, validateOnly, requestId, content }));
  }

  private async update(request: UpdateGatewayRequest, context: CallContext) {
    const source = request.gateway;
    if (!source) throw AppError.invalid([{ field: 'gateway', description: 'is missing' }]);
    const { validateOnly } = request;
    const paths = request.updateMask?.paths ?? [];
    const change = ({ name, labels, cordoned, settings }: GatewayRecord) => {
      const standing = create(GatewaySchema, { name, labels: { ...labels }, cordoned, settings: settingsFromJson(settings) });
      return parseGateway(applyMask(GatewaySchema, standing, source, { paths, writable: WRITABLE }));
    };
    return gatewayToWire(await this.gateways.update(source.name, { context, validateOnly, etag: source.etag, change }));
  }

  private async list(request: ListGatewaysRequest) {
    const { labels } = request;
    const page = parsePage(request, labels);
    const records = await this.gateways.list({ labels, pageSize: page.size + 1, after: page.after });
    const shown = records.slice(0, page.size);
    const last = shown.at(-1);
    return { gateways: shown.map(gatewayToWire), nextPageToken: records.length > page.size && last ? page.next(last.name) : '' };
  }

  private async *watch(name: string, { signal }: CallContext): AsyncGenerator<MessageInitShape<typeof GatewaySchema>> {
    const { uid } = await this.gateways.get(name);
    const records = watch({
      notifications: this.notifications,
      signal,
      read: () => this.gateways.get(name, uid),
      concerns: (wakeup) => wakeup === 'everything' || wakeup.uid === uid,
      // When it was last seen changes with every heartbeat and is no news by itself.
      print: ({ status: { lastSeenTime, ...status }, ...record }) =>
        JSON.stringify([record, status, status.connected ? null : lastSeenTime], (_, v: unknown) =>
          typeof v === 'bigint' ? String(v) : v,
        ),
    });
    for await (const record of records) yield gatewayToWire(record);
  }
}
