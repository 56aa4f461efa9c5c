import { Module } from '@nestjs/common';
import { HealthController } from './health.controller.js';
import { HealthGrpc } from './health.grpc.js';
import { Readiness } from './readiness.js';

@Module({ controllers: [HealthController], providers: [Readiness, HealthGrpc] })
export class HealthModule {}
