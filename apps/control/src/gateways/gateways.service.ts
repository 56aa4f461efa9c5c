import { randomUUID } from 'node:crypto';
import { quote } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { Journal } from '../audit/journal.js';
import { Ca } from '../ca/ca.js';
import { Database, type Tx } from '../database/database.js';
import { isUniqueViolation } from '../database/database-errors.js';
import { Notifications } from '../database/notifications.js';
import type { CallContext } from '../grpc/call-context.js';
import { checkEtag, etagOf } from '../resources/etag.js';
import type { CheckedGateway } from './gateways.mapper.js';
import { type GatewayQuery, type GatewayRecord, GatewaysRepository } from './gateways.repository.js';

interface WriteOptions {
  readonly context: CallContext;
  readonly validateOnly: boolean;
}

/** How many forwards a refusal names. */
const NAMED = 10;

/** Gateways: made, read, changed, deleted, each change with its audit entry in one transaction. */
@Injectable()
export class GatewaysService {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(GatewaysRepository) private readonly gateways: GatewaysRepository,
    @Inject(Journal) private readonly journal: Journal,
    @Inject(Notifications) private readonly notifications: Notifications,
    @Inject(Ca) private readonly ca: Ca,
  ) {}

  async create(
    wanted: CheckedGateway,
    request: WriteOptions & { readonly requestId: string; readonly content: Uint8Array },
  ): Promise<GatewayRecord> {
    const uid = randomUUID();
    const { context, requestId, content } = request;
    try {
      return await this.transact(request.validateOnly, async (tx) => {
        const earlier = await this.journal.repeated(tx, context, { requestId, content, resourceUid: uid });
        if (earlier !== undefined) return (await this.gateways.find(tx, { uid: earlier })) ?? throwNotFound(wanted.name);
        await this.gateways.create(tx, { uid, name: wanted.name, labels: wanted.labels, epoch: this.ca.installation.epoch });
        if (wanted.cordoned) await this.gateways.update(tx, uid, wanted);
        await this.journal.record(tx, context, { resource: `gateway/${wanted.name}`, after: { uid, ...wanted } });
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
    const record = await this.transact(request.validateOnly, async (tx) => {
      const before = (await this.gateways.lock(tx, name)) ?? throwNotFound(name);
      checkEtag({ kind: 'gateway', name }, request.etag, etagOf(before));
      const wanted = request.change(before);
      await this.gateways.update(tx, before.uid, wanted);
      const view = ({ labels, cordoned }: Pick<CheckedGateway, 'labels' | 'cordoned'>) => ({ labels, cordoned });
      await this.journal.record(tx, request.context, { resource: `gateway/${name}`, before: view(before), after: view(wanted) });
      return (await this.gateways.find(tx, { uid: before.uid })) ?? throwNotFound(name);
    });
    if (!request.validateOnly) this.changed(record.uid);
    return record;
  }

  /** Its agent's certificate and join tokens go with it; a live session is cut. */
  async delete(name: string, request: { readonly context: CallContext; readonly etag: string }): Promise<void> {
    const uid = await this.database.transaction(async (tx) => {
      const before = (await this.gateways.lock(tx, name)) ?? throwNotFound(name);
      checkEtag({ kind: 'gateway', name }, request.etag, etagOf(before));
      const forwards = await this.gateways.forwardNames(tx, before.uid, NAMED);
      if (forwards.length > 0) throw stillUsed(name, forwards, before.status.forwards);
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

function stillUsed(name: string, forwards: readonly string[], count: number): AppError {
  const more = count > forwards.length ? ` and ${count - forwards.length} more` : '';
  return new AppError({
    code: 'FAILED_PRECONDITION',
    reason: 'GATEWAY_IN_USE',
    message: `gateway ${name} still carries ${count} forward${count === 1 ? '' : 's'}: ${forwards.join(', ')}${more}; delete or move them first`,
    metadata: { forwards: forwards.join(',') },
  });
}
