import { randomUUID } from 'node:crypto';
import { formatCidr } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { Journal } from '../audit/journal.js';
import { Database, type Tx } from '../database/database.js';
import { isCheckViolation, isExclusionViolation, isUniqueViolation } from '../database/database-errors.js';
import { GatewaysRepository } from '../gateways/gateways.repository.js';
import type { CallContext } from '../grpc/call-context.js';
import { claimsOfEgress, NO_CLAIMS } from '../placement/claims.js';
import { checkEtag, etagOf } from '../resources/etag.js';
import { gatewayFull, goneMeanwhile, nameTaken, noGateway, notFound, refuse } from '../resources/refusals.js';
import { sameJson } from '../resources/same-json.js';
import { DesiredStateService } from '../revisions/desired-state.service.js';
import type { RaisedRevision } from '../revisions/revisions.repository.js';
import { type CheckedEgress, desiredBytes, specToJson } from './egress.mapper.js';
import { type EgressRecord, EgressRepository } from './egress.repository.js';

interface WriteOptions {
  readonly context: CallContext;
  readonly validateOnly: boolean;
}

interface Written {
  readonly record: EgressRecord;
  readonly raised: readonly RaisedRevision[];
}

/** A holder that went away between the refusal and the question who it is: then the source is free, and trying again is right. */
const SOURCE_RETRIES = 3;

/** Every change of an egress: one transaction for the egress, its placement, revision, change log and audit entry. */
@Injectable()
export class EgressService {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(EgressRepository) private readonly egresses: EgressRepository,
    @Inject(GatewaysRepository) private readonly gateways: GatewaysRepository,
    @Inject(DesiredStateService) private readonly desired: DesiredStateService,
    @Inject(Journal) private readonly journal: Journal,
  ) {}

  /** Answers with the record; where `requestId` repeats an earlier call, with the one that call made. */
  async create(
    wanted: CheckedEgress,
    request: WriteOptions & { readonly requestId: string; readonly content: Uint8Array },
  ): Promise<EgressRecord> {
    const uid = randomUUID();
    return this.write(
      uid,
      () => wanted,
      request,
      async (tx) => {
        const { requestId, content } = request;
        const { name, labels } = wanted;
        const earlier = await this.journal.repeated(tx, request.context, { requestId, content, resourceUid: uid });
        if (earlier !== undefined)
          return {
            record: (await this.egresses.find(tx, { uid: earlier })) ?? refuse(goneMeanwhile('egress', name)),
            raised: [],
          };
        const record = await this.egresses.create(tx, { uid, name, labels, spec: specToJson(wanted), generation: 1n });
        await this.journal.record(tx, request.context, { resource: `egress/${name}`, after: auditView(record) });
        // Last, since other writers on the same gateway wait from here to the commit.
        return { record, raised: await this.place(tx, record, wanted) };
      },
    );
  }

  /**
   * Changes an egress to what `change` makes of it. It runs on the locked row, so nobody's concurrent change is lost.
   * @param request.etag Where not empty, must be the current one: ABORTED otherwise.
   */
  async update(
    name: string,
    request: WriteOptions & { readonly etag: string; readonly change: (current: EgressRecord) => CheckedEgress },
  ): Promise<EgressRecord> {
    const current = await this.database.run((tx) => this.egresses.find(tx, { name }));
    if (!current) throw notFound('egress', name);
    checkEtag({ kind: 'egress', name }, request.etag, etagOf(current));
    let wanted = request.change(current);
    return this.write(
      current.uid,
      () => wanted,
      request,
      async (tx) => {
        const before = (await this.egresses.lock(tx, name)) ?? refuse(notFound('egress', name));
        checkEtag({ kind: 'egress', name }, request.etag, etagOf(before));
        wanted = request.change(before);
        const spec = specToJson(wanted);
        const specChanged = !sameJson(spec, before.spec);
        if (!specChanged && sameJson(wanted.labels, before.labels)) return { record: before, raised: [] };
        const generation = specChanged ? before.generation + 1n : before.generation;
        const record = await this.egresses.update(tx, before.uid, { labels: wanted.labels, spec, generation });
        await this.journal.record(tx, request.context, {
          resource: `egress/${name}`,
          before: auditView(before),
          after: auditView(record),
        });
        return { record, raised: specChanged ? await this.place(tx, record, wanted) : [] };
      },
    );
  }

  /** Answers with where it was, and the revision at which it is gone. */
  async delete(name: string, request: WriteOptions & { readonly etag: string }): Promise<readonly RaisedRevision[]> {
    const { uid, raised } = await this.transact(request.validateOnly, async (tx) => {
      const before = (await this.egresses.lock(tx, name)) ?? refuse(notFound('egress', name));
      checkEtag({ kind: 'egress', name }, request.etag, etagOf(before));
      const { uid, generation } = before;
      const gone = { uid, kind: 'egress', generation, desired: new Uint8Array(), claims: NO_CLAIMS, gatewayUids: [] } as const;
      const raised = await this.desired.place(tx, gone);
      await this.egresses.delete(tx, uid);
      await this.journal.record(tx, request.context, { resource: `egress/${name}`, before: auditView(before) });
      return { uid, raised };
    });
    if (!request.validateOnly) this.desired.committed(uid, raised);
    return raised;
  }

  private async write(
    uid: string,
    wanted: () => CheckedEgress,
    request: WriteOptions,
    work: (tx: Tx) => Promise<Written>,
  ): Promise<EgressRecord> {
    for (let attempt = 0; ; attempt++) {
      try {
        const { record, raised } = await this.transact(request.validateOnly, work);
        if (!request.validateOnly) this.desired.committed(record.uid, raised);
        return record;
      } catch (error) {
        if (isExclusionViolation(error)) await this.throwSourceTaken(uid, wanted(), attempt);
        else if (isUniqueViolation(error)) throw nameTaken('egress', wanted().name);
        else if (isCheckViolation(error)) throw gatewayFull(wanted().gateway);
        else throw error;
      }
    }
  }

  private transact<T>(validateOnly: boolean, work: (tx: Tx) => Promise<T>): Promise<T> {
    return validateOnly ? this.database.rehearse(work) : this.database.transaction(work);
  }

  private async place(tx: Tx, record: EgressRecord, { gateway, spec }: CheckedEgress): Promise<readonly RaisedRevision[]> {
    const gatewayUid = (await this.gateways.findUid(tx, gateway)) ?? refuse(noGateway(gateway));
    const { uid, generation } = record;
    const desired = desiredBytes(record, spec);
    return this.desired.place(tx, {
      uid,
      kind: 'egress',
      generation,
      desired,
      claims: claimsOfEgress(spec),
      gatewayUids: [gatewayUid],
    });
  }

  /** Returns where the sources turned out to be free again. */
  private async throwSourceTaken(uid: string, { gateway, spec }: CheckedEgress, attempt: number): Promise<void> {
    const holder = await this.database.run(async (tx) => {
      const gatewayUid = await this.gateways.findUid(tx, gateway);
      return gatewayUid === undefined ? undefined : this.desired.holder(tx, gatewayUid, claimsOfEgress(spec), uid);
    });
    if (holder === undefined && attempt < SOURCE_RETRIES) return;
    const by = holder === undefined ? 'another egress' : `egress ${holder}`;
    throw new AppError({
      code: 'ALREADY_EXISTS',
      reason: 'SOURCE_TAKEN',
      message: `some of ${spec.sources.map(formatCidr).join(', ')} through ${spec.outInterface} on gateway ${gateway} is already translated by ${by}; choose other sources or another interface, or delete that egress`,
      violations: [{ field: 'spec.sources', description: `overlap those of ${by}` }],
      metadata: { ...(holder === undefined ? {} : { egress: holder }), gateway },
    });
  }
}

/** What the audit trail shows of an egress. */
const auditView = (record: EgressRecord) => ({
  uid: record.uid,
  labels: record.labels,
  spec: record.spec,
  generation: Number(record.generation),
});
