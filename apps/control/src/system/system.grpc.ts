import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { SystemService } from '@gwctl/proto/gwctl/v1/system_pb';
import { VERSION } from '@gwctl/shared/version';
import { Inject, Injectable } from '@nestjs/common';
import { Ca } from '../ca/ca.js';
import { CLOCK, type Clock } from '../config/clock.js';
import type { CallContext } from '../grpc/call-context.js';
import { GrpcRegistry } from '../grpc/registry.js';
import { SystemReads } from './system-reads.service.js';

/** gwctl.v1.SystemService. */
@Injectable()
export class SystemGrpc {
  private readonly startTime: number;

  constructor(
    @Inject(GrpcRegistry) registry: GrpcRegistry,
    @Inject(SystemReads) private readonly reads: SystemReads,
    @Inject(Ca) private readonly ca: Ca,
    @Inject(CLOCK) clock: Clock,
  ) {
    this.startTime = clock.now();
    registry.add({
      descriptor: SystemService,
      implementation: { whoAmI: async (_, context) => whoAmI(context), getStatus: () => this.status() },
    });
  }

  private async status() {
    const { gateways, connected, placements } = await this.reads.counts();
    const startTime = timestampFromMs(this.startTime);
    return {
      version: VERSION,
      epoch: this.ca.installation.epoch,
      startTime,
      gateways,
      gatewaysConnected: connected,
      placements: { ...placements },
    };
  }
}

function whoAmI({ principal }: CallContext) {
  return principal.kind === 'operator' ? { name: principal.name, role: principal.role } : {};
}
