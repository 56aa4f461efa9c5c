import { Module } from '@nestjs/common';
import { GatewaysGrpc } from './gateways.grpc.js';
import { GatewaysRepository } from './gateways.repository.js';
import { GatewaysService } from './gateways.service.js';
import { JoinTokensService } from './join-tokens.service.js';

@Module({ providers: [GatewaysRepository, GatewaysService, JoinTokensService, GatewaysGrpc], exports: [GatewaysRepository] })
export class GatewaysModule {}
