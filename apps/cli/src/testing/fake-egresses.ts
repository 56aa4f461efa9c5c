/** The egresses of the fake control plane: checked with the code that the real one uses, kept in memory. */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type CreateEgressRequest,
  type DeleteEgressRequest,
  DeleteEgressResponseSchema,
  type Egress,
  EgressService,
  EgressSpecSchema,
  type GetEgressRequest,
  type ListEgressesRequest,
  ListEgressesResponseSchema,
  type UpdateEgressRequest,
  type WatchEgressRequest,
} from '@gwctl/proto/gwctl/v1/egress_pb';
import { type Placement, PlacementSchema } from '@gwctl/proto/gwctl/v1/forward_pb';
import type { Gateway } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { PlacementState } from '@gwctl/proto/gwctl/v1/types_pb';
import { parseEgressSpec } from '@gwctl/shared/domain/egress';
import { AppError } from '@gwctl/shared/errors/app-error';
import { rawEgressSpec } from '@gwctl/shared/wire/egress-spec';
import type { FakeServer } from './fake-server.js';

export class FakeEgresses {
  readonly all = new Map<string, Egress>();
  readonly #server: FakeServer;
  readonly #gateway: (name: string) => Gateway;

  constructor(server: FakeServer, gateway: (name: string) => Gateway) {
    this.#server = server;
    this.#gateway = gateway;
    server.add(
      EgressService,
      {
        createEgress: (r: CreateEgressRequest) => this.#create(r),
        getEgress: (r: GetEgressRequest) => this.get(r.name),
        listEgresses: (r: ListEgressesRequest) => this.#list(r),
        updateEgress: (r: UpdateEgressRequest) => this.#update(r),
        deleteEgress: (r: DeleteEgressRequest) => this.#delete(r),
      },
      { watchEgress: (r: WatchEgressRequest) => this.get(r.name) },
    );
  }

  get(name: string): Egress {
    const found = this.all.get(name);
    if (found) return found;
    throw new AppError({ code: 'NOT_FOUND', reason: 'EGRESS_NOT_FOUND', message: `there is no egress ${name}` });
  }

  /** What the agent reports of an egress: about its current generation unless said otherwise. */
  agentSays(name: string, report: Partial<Placement>): void {
    const { placement, generation } = this.get(name);
    if (!placement) throw new Error(`egress ${name} is nowhere`);
    Object.assign(placement, { observedGeneration: generation, driver: 'nftables' }, report);
    this.#server.changed();
  }

  #create({ egress, validateOnly }: CreateEgressRequest): Egress {
    if (!egress?.spec) throw AppError.invalid([{ field: 'egress.spec', description: 'is missing' }]);
    const taken = this.all.has(egress.name);
    if (taken) throw new AppError({ code: 'ALREADY_EXISTS', reason: 'NAME_TAKEN', message: `there is an egress ${egress.name}` });
    const spec = parseEgressSpec(rawEgressSpec(egress.spec), 'egress.spec.');
    if (!spec.ok) throw AppError.invalid(spec.error);
    Object.assign(egress, { uid: `uid-${egress.name}`, etag: 'e1', generation: 1n });
    egress.createTime = timestampFromMs(Date.UTC(2026, 0, 1));
    this.#place(egress);
    if (!validateOnly) this.all.set(egress.name, egress);
    this.#server.changed();
    return egress;
  }

  #place(egress: Egress): void {
    const gateway = egress.spec?.gateway ?? '';
    const { status } = this.#gateway(gateway);
    if (status) status.revision += 1n;
    egress.placement ??= create(PlacementSchema, { gateway, state: PlacementState.PENDING });
    egress.placement.revision = status?.revision ?? 0n;
  }

  #list({ gateway, labels }: ListEgressesRequest) {
    const egresses = [...this.all.values()].filter(
      (e) => (!gateway || e.spec?.gateway === gateway) && Object.entries(labels).every(([k, v]) => e.labels[k] === v),
    );
    return create(ListEgressesResponseSchema, { egresses });
  }

  #update({ egress, updateMask, validateOnly }: UpdateEgressRequest): Egress {
    const stored = this.get(egress?.name ?? '');
    if (egress?.etag && egress.etag !== stored.etag)
      throw new AppError({ code: 'ABORTED', reason: 'ETAG_STALE', message: `egress ${stored.name} was changed meanwhile` });
    if (!egress || validateOnly) return stored;
    for (const path of updateMask?.paths ?? []) {
      const [top, field = ''] = path.split('.').map((word) => word.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase()));
      if (top === 'labels') stored.labels = { ...egress.labels };
      else stored.spec = Object.assign(stored.spec ?? create(EgressSpecSchema), { [field]: egress.spec?.[field as 'gateway'] });
    }
    stored.generation += 1n;
    stored.etag = `e${stored.generation}`;
    this.#place(stored);
    this.#server.changed();
    return stored;
  }

  #delete({ name, etag, validateOnly }: DeleteEgressRequest) {
    const stored = this.get(name);
    if (etag && etag !== stored.etag) throw new AppError({ code: 'ABORTED', reason: 'ETAG_STALE', message: 'stale etag' });
    if (!validateOnly) this.all.delete(name);
    const gateway = stored.spec?.gateway ?? '';
    const { status } = this.#gateway(gateway);
    if (status) status.revision += 1n;
    return create(DeleteEgressResponseSchema, { revisions: [{ gateway, revision: status?.revision ?? 0n }] });
  }
}
