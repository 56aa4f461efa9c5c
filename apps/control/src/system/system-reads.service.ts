import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { GatewaysRepository } from '../gateways/gateways.repository.js';
import { PlacementStatesRepository } from '../status/placement-states.repository.js';

/** The numbers of the whole installation. */
@Injectable()
export class SystemReads {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(GatewaysRepository) private readonly gateways: GatewaysRepository,
    @Inject(PlacementStatesRepository) private readonly states: PlacementStatesRepository,
  ) {}

  async counts(): Promise<{
    readonly gateways: number;
    readonly connected: number;
    readonly placements: Readonly<Record<string, number>>;
  }> {
    return this.database.run(async (tx) => ({ ...(await this.gateways.counts(tx)), placements: await this.states.counts(tx) }));
  }
}
