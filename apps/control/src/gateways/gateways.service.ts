import { randomUUID } from 'node:crypto';
import { quote } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { Journal } from '../audit/journal.js';
import { Ca } from '../ca/ca.js';
import { Database, type Tx } from '../database/database.js';
import { isCheckViolation, isUniqueViolation } from '../database/database-errors.js';
import { Notifications } from '../database/notifications.js';
import type { CallContext } from '../grpc/call-context.js';
import { NO_CLAIMS } from '../placement/claims.js';
import { checkEtag, etagOf } from '../resources/etag.js';
import { gatewayFull } from '../resources/refusals.js';
import { sameJson } from '../resources/same-json.js';
import { DesiredStateService } from '../revisions/desired-state.service.js';
import type { RaisedRevision } from '../revisions/revisions.repository.js';
import { type CheckedGateway, settingsBytes, settingsToJson } from './gateways.mapper.js';
import { type GatewayContent, type GatewayQuery, type GatewayRecord, GatewaysRepository } from './gateways.repository.js';

interface WriteOptions {
  readonly context: CallContext;
  readonly validateOnly: boolean;
}

/** How many forwards, and how many egresses, a refusal names. */
const NAMED = 10;

/** Gateways: made, read, changed, deleted, each change with its audit entry in one transaction. */
@Injectable()
export class GatewaysService {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(GatewaysRepository) private readonly gateways: GatewaysRepository,
    @Inject(DesiredStateService) private readonly desired: DesiredStateService,
    @Inject(Journal) private readonly journal: Journal,
    @Inject(Notifications) private readonly notifications: Notifications,
    @Inject(Ca) private readonly ca: Ca,
  ) {}

  async create(
    wanted: CheckedGateway,
    request: WriteOptions & { readonly requestId: string; readonly content: Uint8Array },
  ): Promise<GatewayRecord> {
    const uid = randomUUID();
    const { context, requestId } = request;
    try {
      return await this.transact(request.validateOnly, async (tx) => {
        const earlier = await this.journal.repeated(tx, context, { requestId, content: request.content, resourceUid: uid });
        if (earlier !== undefined) return (await this.gateways.find(tx, { uid: earlier })) ?? throwNotFound(wanted.name);
        await this.gateways.create(tx, { uid, name: wanted.name, labels: wanted.labels, epoch: this.ca.installation.epoch });
        const content = contentOf(wanted);
        if (wanted.cordoned || !sameJson(content.settings, {})) await this.write(tx, uid, { settings: {} }, content);
        await this.journal.record(tx, context, { resource: `gateway/${wanted.name}`, after: { uid, ...auditView(content) } });
        return (await this.gateways.find(tx, { uid })) ?? throwNotFound(wanted.name);
      });
    } catch (error) {
      throw isUniqueViolation(error) ? nameTaken(wanted.name) : error;
    }
  }

  async get(name: string, uid?: string): Promise<GatewayRecord> {
    const record = await this.database.run((tx) => this.gateways.find(tx, { name }));
    if (!record || (uid !== undefined && record.uid !== uid)) throw gatewayNotFound(name);
    return record;
  }

  list(query: GatewayQuery): Promise<readonly GatewayRecord[]> {
    return this.database.run((tx) => this.gateways.list(tx, query));
  }

  /** @param request.change Makes the new content of the present one; it runs on the locked row. */
  async update(
    name: string,
    request: WriteOptions & { readonly etag: string; readonly change: (current: GatewayRecord) => CheckedGateway },
  ): Promise<GatewayRecord> {
    const work = async (tx: Tx) => {
      const before = (await this.gateways.lock(tx, name)) ?? throwNotFound(name);
      checkEtag({ kind: 'gateway', name }, request.etag, etagOf(before));
      const content = contentOf(request.change(before));
      const raised = await this.write(tx, before.uid, before, content);
      await this.journal.record(tx, request.context, {
        resource: `gateway/${name}`,
        before: auditView(before),
        after: auditView(content),
      });
      return { record: (await this.gateways.find(tx, { uid: before.uid })) ?? throwNotFound(name), raised };
    };
    const { record, raised } = await this.transact(request.validateOnly, work).catch((error: unknown) => {
      throw isCheckViolation(error) ? gatewayFull(name) : error;
    });
    if (!request.validateOnly) {
      this.changed(record.uid);
      if (raised.length > 0) this.desired.committed(record.uid, raised);
    }
    return record;
  }

  /** Writes the content, and tells the gateway of its settings where they changed: nothing of them where they are the defaults. */
  private async write(
    tx: Tx,
    uid: string,
    before: Pick<GatewayContent, 'settings'>,
    content: GatewayContent,
  ): Promise<readonly RaisedRevision[]> {
    const generation = await this.gateways.update(tx, uid, content);
    if (sameJson(before.settings, content.settings)) return [];
    const desired = settingsBytes(content.settings);
    return this.desired.place(tx, {
      uid,
      kind: 'settings',
      generation,
      desired: desired ?? new Uint8Array(),
      claims: NO_CLAIMS,
      gatewayUids: desired ? [uid] : [],
    });
  }

  /** Lets the gateway's agent take the removals of this very revision, however many they are. */
  async allowMassRemoval(
    name: string,
    request: { readonly context: CallContext; readonly revision: bigint },
  ): Promise<GatewayRecord> {
    const { context, revision } = request;
    const record = await this.database.transaction(async (tx) => {
      const found = (await this.gateways.lock(tx, name)) ?? throwNotFound(name);
      if (!(await this.desired.allowMassRemoval(tx, found.uid, revision))) throw revisionPassed(found, revision);
      await this.journal.record(tx, context, {
        resource: `gateway/${name}`,
        after: { massRemovalRevision: Number(revision) },
      });
      return found;
    });
    this.changed(record.uid);
    return record;
  }

  /** Its agent's certificate and join tokens go with it; a live session is cut. */
  async delete(name: string, request: { readonly context: CallContext; readonly etag: string }): Promise<void> {
    const uid = await this.database.transaction(async (tx) => {
      const before = (await this.gateways.lock(tx, name)) ?? throwNotFound(name);
      checkEtag({ kind: 'gateway', name }, request.etag, etagOf(before));
      const carried = await this.gateways.carriedNames(tx, before.uid, NAMED);
      if (carried.forwards.length + carried.egresses.length > 0) throw stillUsed(before, carried);
      await this.gateways.delete(tx, before.uid);
      await this.journal.record(tx, request.context, {
        resource: `gateway/${name}`,
        before: { uid: before.uid, labels: before.labels },
      });
      return before.uid;
    });
    this.changed(uid);
  }

  private changed(uid: string): void {
    this.notifications.publish([
      { topic: 'session', uid },
      { topic: 'gateway', uid },
    ]);
  }

  private transact<T>(validateOnly: boolean, work: (tx: Tx) => Promise<T>): Promise<T> {
    return validateOnly ? this.database.rehearse(work) : this.database.transaction(work);
  }
}

export const gatewayNotFound = (name: string): AppError =>
  new AppError({
    code: 'NOT_FOUND',
    reason: 'GATEWAY_NOT_FOUND',
    message: `there is no gateway ${quote(name)}; "gwctl gateway list" shows all`,
  });

function throwNotFound(name: string): never {
  throw gatewayNotFound(name);
}

const nameTaken = (name: string): AppError =>
  new AppError({
    code: 'ALREADY_EXISTS',
    reason: 'NAME_TAKEN',
    message: `there is a gateway ${quote(name)} already; choose another name, or make a new join string for it with "gwctl gateway token ${name}"`,
    violations: [{ field: 'name', description: `${quote(name)} is taken` }],
  });

const revisionPassed = ({ name, status }: GatewayRecord, revision: bigint): AppError =>
  new AppError({
    code: 'ABORTED',
    reason: 'REVISION_PASSED',
    message: `gateway ${name} is at revision ${status.revision}, not ${revision}; look again at what its agent holds back`,
    metadata: { current_revision: String(status.revision) },
  });

function stillUsed(
  { name, status }: GatewayRecord,
  { forwards, egresses }: { readonly forwards: readonly string[]; readonly egresses: readonly string[] },
): AppError {
  const all = [counted('forward', forwards, status.forwards), counted('egress', egresses, status.egresses)].filter(Boolean);
  return new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'GATEWAY_IN_USE',
    message: `gateway ${name} still carries ${all.join('; and ')}; delete or move them first`,
    metadata: { forwards: forwards.join(','), egresses: egresses.join(',') },
  });
}

/** `2 forwards: a, b`; empty for none. */
function counted(kind: 'forward' | 'egress', names: readonly string[], count: number): string {
  if (names.length === 0) return '';
  const plural = count === 1 ? kind : kind === 'egress' ? 'egresses' : 'forwards';
  const more = count > names.length ? ` and ${count - names.length} more` : '';
  return `${count} ${plural}: ${names.join(', ')}${more}`;
}

const contentOf = ({ labels, cordoned, settings }: CheckedGateway): GatewayContent => ({
  labels,
  cordoned,
  settings: settingsToJson(settings),
});

/** What the audit trail shows of a gateway. */
const auditView = ({ labels, cordoned, settings }: GatewayContent) => ({ labels, cordoned, settings });
