import { randomUUID } from 'node:crypto';
import { formatListener } from '@gwctl/shared/domain/forward';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { Journal } from '../audit/journal.js';
import { Database, type Tx } from '../database/database.js';
import { isCheckViolation, isExclusionViolation, isUniqueViolation } from '../database/database-errors.js';
import { GatewaysRepository } from '../gateways/gateways.repository.js';
import type { CallContext } from '../grpc/call-context.js';
import { claimsOfForward, NO_CLAIMS } from '../placement/claims.js';
import { POOL } from '../placement/pool.js';
import { checkEtag, etagOf } from '../resources/etag.js';
import { gatewayFull, goneMeanwhile, nameTaken, noGateway, notFound, refuse } from '../resources/refusals.js';
import { sameJson } from '../resources/same-json.js';
import { DesiredStateService } from '../revisions/desired-state.service.js';
import type { RaisedRevision } from '../revisions/revisions.repository.js';
import { type CheckedForward, desiredBytes, specToJson } from './forwards.mapper.js';
import { type ForwardRecord, ForwardsRepository } from './forwards.repository.js';

interface WriteOptions {
  readonly context: CallContext;
  readonly validateOnly: boolean;
}

interface Written {
  readonly record: ForwardRecord;
  readonly raised: readonly RaisedRevision[];
}

/** A holder that went away between the refusal and the question who it is: then the listener is free, and trying again is right. */
const LISTENER_RETRIES = 3;

/** Every change of a forward: one transaction for the forward, its placements, revisions, change log and audit entry. */
@Injectable()
export class ForwardsService {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(ForwardsRepository) private readonly forwards: ForwardsRepository,
    @Inject(GatewaysRepository) private readonly gateways: GatewaysRepository,
    @Inject(DesiredStateService) private readonly desired: DesiredStateService,
    @Inject(Journal) private readonly journal: Journal,
  ) {}

  /** Answers with the record; where `requestId` repeats an earlier call, with the one that call made. */
  async create(
    wanted: CheckedForward,
    request: WriteOptions & { readonly requestId: string; readonly content: Uint8Array },
  ): Promise<ForwardRecord> {
    const uid = randomUUID();
    return this.write(uid, wanted, request, async (tx) => {
      const { requestId, content } = request;
      const earlier = await this.journal.repeated(tx, request.context, { requestId, content, resourceUid: uid });
      if (earlier !== undefined)
        return {
          record: (await this.forwards.find(tx, { uid: earlier })) ?? refuse(goneMeanwhile('forward', wanted.name)),
          raised: [],
        };
      const settled = await this.withPort(tx, uid, wanted);
      const { name, labels } = settled;
      const spec = specToJson(settled.spec);
      const record = await this.forwards.create(tx, { uid, name, labels, spec, owner: settled.spec.owner, generation: 1n });
      await this.journal.record(tx, request.context, { resource: `forward/${name}`, after: auditView(record) });
      // Last, since other writers on the same gateway wait from here to the commit.
      return { record, raised: await this.place(tx, record, settled) };
    });
  }

  /**
   * Changes a forward to what `change` makes of it. It runs on the locked row, so nobody's concurrent change is lost.
   * @param request.etag Where not empty, must be the current one: ABORTED otherwise.
   */
  async update(
    name: string,
    request: WriteOptions & { readonly etag: string; readonly change: (current: ForwardRecord) => CheckedForward },
  ): Promise<ForwardRecord> {
    const current = await this.database.run((tx) => this.forwards.find(tx, { name }));
    if (!current) throw notFound('forward', name);
    checkEtag({ kind: 'forward', name }, request.etag, etagOf(current));
    let wanted = request.change(current);
    return this.write(
      current.uid,
      () => wanted,
      request,
      async (tx) => {
        const before = (await this.forwards.lock(tx, name)) ?? refuse(notFound('forward', name));
        checkEtag({ kind: 'forward', name }, request.etag, etagOf(before));
        wanted = await this.withPort(tx, before.uid, request.change(before));
        const spec = specToJson(wanted.spec);
        const specChanged = !sameJson(spec, before.spec);
        if (!specChanged && sameJson(wanted.labels, before.labels)) return { record: before, raised: [] };
        const generation = specChanged ? before.generation + 1n : before.generation;
        const record = await this.forwards.update(tx, before.uid, {
          labels: wanted.labels,
          spec,
          owner: wanted.spec.owner,
          generation,
        });
        await this.journal.record(tx, request.context, {
          resource: `forward/${name}`,
          before: auditView(before),
          after: auditView(record),
        });
        return { record, raised: specChanged ? await this.place(tx, record, wanted) : [] };
      },
    );
  }

  /** Answers with where it was, and the revisions at which it is gone. */
  async delete(name: string, request: WriteOptions & { readonly etag: string }): Promise<readonly RaisedRevision[]> {
    let uid = '';
    const raised = await this.transact(request.validateOnly, async (tx) => {
      const before = (await this.forwards.lock(tx, name)) ?? refuse(notFound('forward', name));
      uid = before.uid;
      checkEtag({ kind: 'forward', name }, request.etag, etagOf(before));
      const gone = { uid, generation: before.generation, desired: new Uint8Array(), claims: NO_CLAIMS, gatewayUids: [] };
      const revisions = await this.desired.place(tx, { kind: 'forward', ...gone });
      await this.forwards.delete(tx, uid);
      await this.journal.record(tx, request.context, { resource: `forward/${name}`, before: auditView(before) });
      return revisions;
    });
    if (!request.validateOnly) this.desired.committed(uid, raised);
    return raised;
  }

  private async write(
    uid: string,
    wanted: CheckedForward | (() => CheckedForward),
    request: WriteOptions,
    work: (tx: Tx) => Promise<Written>,
  ): Promise<ForwardRecord> {
    const latest = () => (typeof wanted === 'function' ? wanted() : wanted);
    for (let attempt = 0; ; attempt++) {
      try {
        const { record, raised } = await this.transact(request.validateOnly, work);
        if (!request.validateOnly) this.desired.committed(record.uid, raised);
        return record;
      } catch (error) {
        if (isExclusionViolation(error)) await this.throwListenerTaken(uid, latest(), attempt);
        else if (isUniqueViolation(error)) throw nameTaken('forward', latest().name);
        else if (isCheckViolation(error)) throw gatewayFull(gatewayOf(latest()));
        else throw error;
      }
    }
  }

  private transact<T>(validateOnly: boolean, work: (tx: Tx) => Promise<T>): Promise<T> {
    return validateOnly ? this.database.rehearse(work) : this.database.transaction(work);
  }

  /** Gives a listener on port 0 the port that it keeps. */
  private async withPort(tx: Tx, uid: string, wanted: CheckedForward): Promise<CheckedForward> {
    if (!wanted.fromPool) return wanted;
    const { spec } = wanted;
    const gateway = gatewayOf(wanted);
    const gatewayUid = (await this.gateways.findUid(tx, gateway)) ?? refuse(noGateway(gateway));
    const port = (await this.desired.freePort(tx, gatewayUid, claimsOfForward(spec), uid)) ?? refuse(poolEmpty(gateway));
    return { ...wanted, fromPool: false, spec: { ...spec, listen: { ...spec.listen, ports: { first: port, last: port } } } };
  }

  private async place(tx: Tx, record: ForwardRecord, wanted: CheckedForward): Promise<readonly RaisedRevision[]> {
    const { spec } = wanted;
    const gateway = gatewayOf(wanted);
    const gatewayUid = (await this.gateways.findUid(tx, gateway)) ?? refuse(noGateway(gateway));
    const { uid, name, generation } = record;
    const desired = desiredBytes({ uid, name, generation, spec });
    const claims = claimsOfForward(spec);
    return this.desired.place(tx, { uid, kind: 'forward', generation, desired, claims, gatewayUids: [gatewayUid] });
  }

  /** Returns where the listener turned out to be free again. */
  private async throwListenerTaken(uid: string, wanted: CheckedForward, attempt: number): Promise<void> {
    const { listen } = wanted.spec;
    const gateway = gatewayOf(wanted);
    const holder = await this.database.run(async (tx) => {
      const gatewayUid = await this.gateways.findUid(tx, gateway);
      return gatewayUid === undefined ? undefined : this.desired.holder(tx, gatewayUid, claimsOfForward(wanted.spec), uid);
    });
    if (holder === undefined && attempt < LISTENER_RETRIES) return;
    const by = holder === undefined ? 'another forward' : `forward ${holder}`;
    throw new AppError({
      code: 'ALREADY_EXISTS',
      reason: 'LISTENER_TAKEN',
      message: `${formatListener(listen)} on gateway ${gateway} already belongs to ${by}; choose another address or port, or delete that forward`,
      violations: [{ field: 'spec.listen', description: `belongs to ${by}` }],
      metadata: { ...(holder === undefined ? {} : { forward: holder }), gateway },
    });
  }
}

function gatewayOf({ spec: { on } }: CheckedForward): string {
  if (on.kind !== 'gateway') throw new Error('a selector passed the check of what is supported');
  return on.gateway;
}

const poolEmpty = (gateway: string): AppError =>
  new AppError({
    code: 'RESOURCE_EXHAUSTED',
    reason: 'POOL_EXHAUSTED',
    message: `gateway ${gateway} has no free port from ${POOL.first} to ${POOL.last} for this listener; name one`,
    violations: [{ field: 'spec.listen.ports', description: `none from ${POOL.first} to ${POOL.last} is free; name one` }],
  });

/** What the audit trail shows of a forward. */
const auditView = (record: ForwardRecord) => ({
  uid: record.uid,
  labels: record.labels,
  spec: record.spec,
  generation: Number(record.generation),
});
