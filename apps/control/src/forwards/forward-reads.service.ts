import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { notFound } from '../resources/refusals.js';
import { type PlacementState, PlacementStatesRepository } from '../status/placement-states.repository.js';
import { type ForwardQuery, type ForwardRecord, ForwardsRepository } from './forwards.repository.js';

export interface ForwardWithStates {
  readonly record: ForwardRecord;
  readonly states: readonly PlacementState[];
}

/** Forwards together with how they stand. */
@Injectable()
export class ForwardReads {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(ForwardsRepository) private readonly forwards: ForwardsRepository,
    @Inject(PlacementStatesRepository) private readonly states: PlacementStatesRepository,
  ) {}

  /** @param uid Where given, a later forward of the same name is NOT_FOUND too. */
  async get(name: string, uid?: string): Promise<ForwardWithStates> {
    const record = await this.database.run((tx) => this.forwards.find(tx, { name }));
    if (!record || (uid !== undefined && record.uid !== uid)) throw notFound('forward', name);
    return this.withStates(record);
  }

  async withStates(record: ForwardRecord): Promise<ForwardWithStates> {
    const states = await this.database.run((tx) => this.states.ofForwards(tx, [record.uid]));
    return { record, states: states.get(record.uid) ?? [] };
  }

  async list(query: ForwardQuery): Promise<readonly ForwardWithStates[]> {
    return this.database.run(async (tx) => {
      const records = await this.forwards.list(tx, query);
      const states = await this.states.ofForwards(
        tx,
        records.map((record) => record.uid),
      );
      return records.map((record) => ({ record, states: states.get(record.uid) ?? [] }));
    });
  }
}
