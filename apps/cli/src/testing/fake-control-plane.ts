/**
 * A control plane in this process: real TLS, real gRPC, real messages; forwards and gateways in memory. Tests play the agents with
 * {@link FakeControlPlane.agentSays} and {@link FakeControlPlane.agentApplied}. It checks forwards with the code that the real one uses.
 */
import { create } from '@bufbuild/protobuf';
import { EmptySchema, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type Event, EventService, type ListEventsRequest, ListEventsResponseSchema } from '@gwctl/proto/gwctl/v1/event_pb';
import {
  type CreateForwardRequest,
  type DeleteForwardRequest,
  DeleteForwardResponseSchema,
  type Forward,
  ForwardService,
  type GetForwardRequest,
  type ListForwardsRequest,
  ListForwardsResponseSchema,
  type Placement,
  PlacementSchema,
  type UpdateForwardRequest,
  type WatchForwardRequest,
} from '@gwctl/proto/gwctl/v1/forward_pb';
import {
  type AllowMassRemovalRequest,
  type CreateGatewayRequest,
  type CreateJoinTokenRequest,
  CreateJoinTokenResponseSchema,
  type DeleteGatewayRequest,
  type Gateway,
  GatewaySchema,
  GatewayService,
  GatewayStatusSchema,
  type GetGatewayRequest,
  type ListGatewaysRequest,
  ListGatewaysResponseSchema,
  type UpdateGatewayRequest,
  type WatchGatewayRequest,
} from '@gwctl/proto/gwctl/v1/gateway_pb';
import { GetStatusResponseSchema, SystemService, WhoAmIResponseSchema } from '@gwctl/proto/gwctl/v1/system_pb';
import { GatewaySettingsSchema, PlacementState } from '@gwctl/proto/gwctl/v1/types_pb';
import { carrierViolations } from '@gwctl/shared/domain/carriers';
import { parseTrafficSpec } from '@gwctl/shared/domain/forward';
import { AppError } from '@gwctl/shared/errors/app-error';
import { rawTrafficSpec } from '@gwctl/shared/wire/traffic-spec';
import { FakeEgresses } from './fake-egresses.js';
import { FakeServer, type FakeServerOptions } from './fake-server.js';
import { applyMask } from './field-mask.js';

/** A control plane in this process whose agents the test plays. */
export class FakeControlPlane {
  readonly server: FakeServer;
  readonly egresses: FakeEgresses;
  readonly events: Event[] = [];
  readonly forwards = new Map<string, Forward>();
  readonly gateways = new Map<string, Gateway>();
  /** Entries on one page, however many are asked for. */
  pageSize = 1000;

  private constructor(server: FakeServer) {
    this.server = server;
    this.egresses = new FakeEgresses(server, (name) => this.gateway(name));
  }

  static async start(options: FakeServerOptions = {}): Promise<FakeControlPlane> {
    const fake = new FakeControlPlane(await FakeServer.start(options));
    fake.#serve();
    return fake;
  }

  get address(): string {
    return `127.0.0.1:${this.server.port}`;
  }

  stop(): void {
    this.server.stop();
  }

  /** Requests of this method, in order. */
  requestsOf<T>(method: string): T[] {
    return this.server.calls.filter((c) => c.method === method).map((c) => c.request as T);
  }

  /** The last of them. @throws Error where there was none */
  lastRequest<T>(method: string): T {
    const last = this.requestsOf<T>(method).at(-1);
    if (last === undefined) throw new Error(`${method} was not asked`);
    return last;
  }

  /** A gateway with an agent that is there. */
  addGateway(name: string, labels: Record<string, string> = {}): Gateway {
    const gateway = create(GatewaySchema, {
      name,
      labels,
      uid: `uid-${name}`,
      etag: 'g1',
      createTime: timestampFromMs(Date.UTC(2026, 0, 1)),
      status: create(GatewayStatusSchema, {
        connected: true,
        enrolled: true,
        lastSeenTime: timestampFromMs(Date.UTC(2026, 0, 2)),
        hostname: `${name}.example`,
        driver: 'iptables-nft',
      }),
    });
    this.gateways.set(name, gateway);
    return gateway;
  }

  /** What the gateway's agent reports of a forward: about its current generation unless said otherwise. */
  agentSays(forward: string, gateway: string, report: Partial<Placement>): void {
    const stored = this.forward(forward);
    const placement = stored.placements.find((p) => p.gateway === gateway);
    if (!placement) throw new Error(`forward ${forward} is not on ${gateway}`);
    Object.assign(placement, { observedGeneration: stored.generation, driver: 'iptables-nft' }, report);
    this.server.changed();
  }

  agentApplied(gateway: string, revision: number): void {
    const { status } = this.gateway(gateway);
    if (status) status.appliedRevision = BigInt(revision);
    this.server.changed();
  }

  forward(name: string): Forward {
    const found = this.forwards.get(name);
    if (!found) throw notFound('forward', name);
    return found;
  }

  gateway(name: string): Gateway {
    const found = this.gateways.get(name);
    if (!found) throw notFound('gateway', name);
    return found;
  }

  #serve(): void {
    this.server.add(SystemService, {
      whoAmI: () => create(WhoAmIResponseSchema, { name: 'admin', role: 'administrator' }),
      getStatus: () => this.#status(),
    });
    this.server.add(
      ForwardService,
      {
        createForward: (r: CreateForwardRequest) => this.#createForward(r),
        getForward: (r: GetForwardRequest) => this.forward(r.name),
        listForwards: (r: ListForwardsRequest) => this.#listForwards(r),
        updateForward: (r: UpdateForwardRequest) => this.#updateForward(r),
        deleteForward: (r: DeleteForwardRequest) => this.#deleteForward(r),
      },
      { watchForward: (r: WatchForwardRequest) => this.forward(r.name) },
    );
    this.server.add(
      GatewayService,
      {
        createGateway: (r: CreateGatewayRequest) => this.#createGateway(r),
        getGateway: (r: GetGatewayRequest) => this.gateway(r.name),
        listGateways: (r: ListGatewaysRequest) => this.#listGateways(r),
        updateGateway: (r: UpdateGatewayRequest) => this.#updateGateway(r),
        deleteGateway: (r: DeleteGatewayRequest) => this.#deleteGateway(r),
        allowMassRemoval: (r: AllowMassRemovalRequest) => this.gateway(r.name),
        createJoinToken: (r: CreateJoinTokenRequest) => this.#joinToken(r),
      },
      { watchGateway: (r: WatchGatewayRequest) => this.gateway(r.name) },
    );
    this.server.add(EventService, { listEvents: (r: ListEventsRequest) => this.#listEvents(r) });
  }

  #createForward({ forward, validateOnly }: CreateForwardRequest): Forward {
    if (!forward?.spec) throw AppError.invalid([{ field: 'forward.spec', description: 'is missing' }]);
    if (this.forwards.has(forward.name))
      throw new AppError({
        code: 'ALREADY_EXISTS',
        reason: 'NAME_TAKEN',
        message: `there is a forward ${forward.name} already; choose another name`,
      });
    const { ports } = forward.spec.listen ?? {};
    if (ports?.first === 0 && ports.last === 0) Object.assign(ports, { first: 50_000, last: 50_000 });
    const spec = parseTrafficSpec(rawTrafficSpec(forward.spec), 'forward.spec.');
    const violations = spec.ok ? carrierViolations(spec.value, 'forward.spec.') : spec.error;
    if (violations.length > 0) throw AppError.invalid(violations);
    forward.uid = `uid-${forward.name}`;
    forward.etag = 'e1';
    forward.generation = 1n;
    forward.createTime = timestampFromMs(Date.UTC(2026, 0, 1));
    this.#place(forward);
    if (!validateOnly) this.forwards.set(forward.name, forward);
    this.server.changed();
    return forward;
  }

  #place(forward: Forward): void {
    const on = forward.spec?.on;
    const names =
      on?.case === 'gateway'
        ? [this.gateway(on.value).name]
        : [...this.gateways.values()]
            .filter((g) => Object.entries(on?.value?.matchLabels ?? {}).every(([k, v]) => g.labels[k] === v))
            .map((g) => g.name);
    forward.placements = names.map((gateway) => {
      const { status } = this.gateway(gateway);
      if (status) status.revision += 1n;
      const state = status?.connected ? PlacementState.PENDING : PlacementState.UNKNOWN;
      const placement = forward.placements.find((p) => p.gateway === gateway) ?? create(PlacementSchema, { gateway, state });
      placement.revision = status?.revision ?? 0n;
      return placement;
    });
  }

  #listForwards({ filter, pageToken }: ListForwardsRequest) {
    const all = [...this.forwards.values()].filter(
      (f) =>
        (!filter?.gateway || f.placements.some((p) => p.gateway === filter.gateway)) &&
        (!filter?.owner || f.spec?.owner === filter.owner) &&
        (!filter?.state || f.placements.some((p) => p.state === filter.state)) &&
        Object.entries(filter?.labels ?? {}).every(([k, v]) => f.labels[k] === v),
    );
    const { items, nextPageToken } = this.#page(all, pageToken);
    return create(ListForwardsResponseSchema, { forwards: items, nextPageToken });
  }

  #updateForward({ forward, updateMask, validateOnly }: UpdateForwardRequest): Forward {
    const stored = this.forward(forward?.name ?? '');
    if (forward?.etag && forward.etag !== stored.etag)
      throw new AppError({
        code: 'ABORTED',
        reason: 'STALE_ETAG',
        message: `forward ${stored.name} was changed meanwhile; read it again and repeat`,
      });
    if (!forward || validateOnly) return stored;
    applyMask(stored, forward, updateMask?.paths ?? []);
    stored.generation += 1n;
    stored.etag = `e${stored.generation}`;
    this.#place(stored);
    this.server.changed();
    return stored;
  }

  #deleteForward({ name, etag, validateOnly }: DeleteForwardRequest) {
    const stored = this.forward(name);
    if (etag && etag !== stored.etag) throw new AppError({ code: 'ABORTED', reason: 'STALE_ETAG', message: 'stale etag' });
    if (!validateOnly) this.forwards.delete(name);
    const revisions = stored.placements.map(({ gateway }) => {
      const { status } = this.gateway(gateway);
      if (status) status.revision += 1n;
      return { gateway, revision: status?.revision ?? 0n };
    });
    return create(DeleteForwardResponseSchema, { revisions });
  }

  #createGateway({ gateway }: CreateGatewayRequest): Gateway {
    const name = gateway?.name ?? '';
    if (this.gateways.has(name))
      throw new AppError({ code: 'ALREADY_EXISTS', reason: 'NAME_TAKEN', message: `there is a gateway ${name} already` });
    return this.addGateway(name, { ...gateway?.labels });
  }

  #listGateways({ labels, pageToken }: ListGatewaysRequest) {
    const all = [...this.gateways.values()].filter((g) => Object.entries(labels).every(([k, v]) => g.labels[k] === v));
    const { items, nextPageToken } = this.#page(all, pageToken);
    return create(ListGatewaysResponseSchema, { gateways: items, nextPageToken });
  }

  #updateGateway({ gateway, updateMask, validateOnly }: UpdateGatewayRequest): Gateway {
    const stored = this.gateway(gateway?.name ?? '');
    if (gateway?.etag && gateway.etag !== stored.etag)
      throw new AppError({ code: 'ABORTED', reason: 'STALE_ETAG', message: 'stale etag' });
    if (validateOnly) return stored;
    if (updateMask?.paths.includes('labels')) stored.labels = { ...gateway?.labels };
    if (updateMask?.paths.includes('cordoned')) stored.cordoned = gateway?.cordoned ?? false;
    copySettings(stored, gateway, updateMask?.paths ?? []);
    return stored;
  }

  #deleteGateway({ name }: DeleteGatewayRequest) {
    this.gateway(name);
    const used = [...this.forwards.values()].filter((f) => f.placements.some((p) => p.gateway === name));
    if (used.length > 0)
      throw new AppError({
        code: 'FAILED_PRECONDITION',
        reason: 'GATEWAY_IN_USE',
        message: `gateway ${name} still carries ${used.length} forwards; delete or move them first`,
      });
    this.gateways.delete(name);
    return create(EmptySchema);
  }

  #joinToken({ gateway }: CreateJoinTokenRequest) {
    this.gateway(gateway);
    return create(CreateJoinTokenResponseSchema, {
      joinString: `gwctl-join-1.${gateway}`,
      expireTime: timestampFromMs(Date.UTC(2026, 0, 3)),
    });
  }

  #listEvents({ gateway, forward, egress, pageToken }: ListEventsRequest) {
    const all = this.events.filter(
      (e) => (!gateway || e.gateway === gateway) && (!forward || e.forward === forward) && (!egress || e.egress === egress),
    );
    const { items, nextPageToken } = this.#page(all, pageToken);
    return create(ListEventsResponseSchema, { events: items, nextPageToken });
  }

  #status() {
    const placements: Record<string, number> = {};
    for (const f of this.forwards.values())
      for (const p of f.placements) placements[PlacementState[p.state]] = (placements[PlacementState[p.state]] ?? 0) + 1;
    const gateways = [...this.gateways.values()];
    return create(GetStatusResponseSchema, {
      version: '0.1.0',
      epoch: 'epoch-1',
      startTime: timestampFromMs(Date.UTC(2026, 0, 1)),
      gateways: gateways.length,
      gatewaysConnected: gateways.filter((g) => g.status?.connected).length,
      placements,
    });
  }

  #page<T>(all: readonly T[], token: string): { items: T[]; nextPageToken: string } {
    const from = Number(token || 0);
    const to = from + this.pageSize;
    return { items: all.slice(from, to), nextPageToken: to < all.length ? String(to) : '' };
  }
}

/** Takes the settings that the mask names; what is 0 there is left at 0, which a reader takes for the default. */
function copySettings(into: Gateway, from: Gateway | undefined, paths: readonly string[]): void {
  for (const path of paths.filter((p) => p.startsWith('settings.'))) {
    const field = path.slice('settings.'.length).replace(/_([a-z])/g, (_, c: string) => c.toUpperCase());
    into.settings ??= create(GatewaySettingsSchema);
    Object.assign(into.settings, { [field]: from?.settings?.[field as 'resolvers'] });
  }
}

const notFound = (kind: string, name: string) =>
  new AppError({
    code: 'NOT_FOUND',
    reason: 'NOT_FOUND',
    message: `there is no ${kind} ${name}; gwctl ${kind} list shows what there is`,
  });
