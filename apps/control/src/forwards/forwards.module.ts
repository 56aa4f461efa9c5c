import { Module } from '@nestjs/common';
import { GatewaysModule } from '../gateways/gateways.module.js';
import { StatusModule } from '../status/status.module.js';
import { ForwardReads } from './forward-reads.service.js';
import { ForwardsGrpc } from './forwards.grpc.js';
import { ForwardsRepository } from './forwards.repository.js';
import { ForwardsService } from './forwards.service.js';

@Module({ imports: [GatewaysModule, StatusModule], providers: [ForwardsRepository, ForwardsService, ForwardReads, ForwardsGrpc] })
export class ForwardsModule {}
