import { Module } from '@nestjs/common';
import { GatewaysModule } from '../gateways/gateways.module.js';
import { StatusModule } from '../status/status.module.js';
import { EgressGrpc } from './egress.grpc.js';
import { EgressRepository } from './egress.repository.js';
import { EgressService } from './egress.service.js';
import { EgressReads } from './egress-reads.service.js';

@Module({ imports: [GatewaysModule, StatusModule], providers: [EgressRepository, EgressService, EgressReads, EgressGrpc] })
export class EgressModule {}
