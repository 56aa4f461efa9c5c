import { Module } from '@nestjs/common';
import { GatewaysModule } from '../gateways/gateways.module.js';
import { StatusModule } from '../status/status.module.js';
import { SystemGrpc } from './system.grpc.js';
import { SystemReads } from './system-reads.service.js';

@Module({ imports: [GatewaysModule, StatusModule], providers: [SystemReads, SystemGrpc] })
export class SystemModule {}
