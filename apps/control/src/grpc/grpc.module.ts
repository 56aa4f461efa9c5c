import { Global, Module } from '@nestjs/common';
import { GrpcServer } from './grpc-server.js';
import { ReflectionGrpc } from './reflection.grpc.js';
import { GrpcRegistry } from './registry.js';
import { ServerAddresses } from './server-addresses.js';

@Global()
@Module({
  providers: [GrpcRegistry, GrpcServer, ServerAddresses, ReflectionGrpc],
  exports: [GrpcRegistry, GrpcServer, ServerAddresses],
})
export class GrpcModule {}
