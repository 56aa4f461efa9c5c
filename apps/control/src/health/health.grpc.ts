import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from '@gwctl/proto/grpc/health/v1/health_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { Inject, Injectable } from '@nestjs/common';
import { Notifications } from '../database/notifications.js';
import type { CallContext } from '../grpc/call-context.js';
import { GrpcRegistry } from '../grpc/registry.js';
import { watch } from '../status/watch.js';
import { Readiness } from './readiness.js';

/** grpc.health.v1.Health: open to everybody, and says nothing but whether it serves. */
@Injectable()
export class HealthGrpc {
  constructor(
    @Inject(GrpcRegistry) private readonly registry: GrpcRegistry,
    @Inject(Readiness) private readonly readiness: Readiness,
    @Inject(Notifications) private readonly notifications: Notifications,
  ) {
    registry.add({
      descriptor: Health,
      implementation: {
        check: async ({ service }) => {
          if (!this.known(service))
            throw new AppError({ code: 'NOT_FOUND', reason: 'UNKNOWN_SERVICE', message: 'there is no such service' });
          return { status: await this.status() };
        },
        list: async () => {
          const status = await this.status();
          const names = ['', ...this.registry.services.map(({ descriptor }) => descriptor.typeName)];
          return { statuses: Object.fromEntries(names.map((name) => [name, { status }])) };
        },
        watch: ({ service }, context) => this.watch(service, context),
      },
    });
  }

  private async *watch(service: string, { signal }: CallContext) {
    const states = watch({
      notifications: this.notifications,
      signal,
      read: async () => (this.known(service) ? this.status() : ServingStatus.SERVICE_UNKNOWN),
      concerns: (wakeup) => wakeup === 'everything',
      print: String,
    });
    for await (const status of states) yield { status };
  }

  private known(service: string): boolean {
    return service === '' || this.registry.services.some(({ descriptor }) => descriptor.typeName === service);
  }

  private async status(): Promise<ServingStatus> {
    return (await this.readiness.ready()) ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }
}
