import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { notFound } from '../resources/refusals.js';
import { type PlacementState, PlacementStatesRepository } from '../status/placement-states.repository.js';
import { type EgressQuery, type EgressRecord, EgressRepository } from './egress.repository.js';

export interface EgressWithState {
  readonly record: EgressRecord;
  readonly state: PlacementState | undefined;
}

/** Egresses together with how they stand. */
@Injectable()
export class EgressReads {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(EgressRepository) private readonly egresses: EgressRepository,
    @Inject(PlacementStatesRepository) private readonly states: PlacementStatesRepository,
  ) {}

  /** @param uid Where given, a later egress of the same name is NOT_FOUND too. */
  async get(name: string, uid?: string): Promise<EgressWithState> {
    const record = await this.database.run((tx) => this.egresses.find(tx, { name }));
    if (!record || (uid !== undefined && record.uid !== uid)) throw notFound('egress', name);
    return this.withState(record);
  }

  async withState(record: EgressRecord): Promise<EgressWithState> {
    const states = await this.database.run((tx) => this.states.ofEgresses(tx, [record.uid]));
    return { record, state: states.get(record.uid)?.[0] };
  }

  async list(query: EgressQuery): Promise<readonly EgressWithState[]> {
    return this.database.run(async (tx) => {
      const records = await this.egresses.list(tx, query);
      const states = await this.states.ofEgresses(
        tx,
        records.map((record) => record.uid),
      );
      return records.map((record) => ({ record, state: states.get(record.uid)?.[0] }));
    });
  }
}
