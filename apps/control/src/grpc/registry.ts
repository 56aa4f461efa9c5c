import type { DescService } from '@bufbuild/protobuf';
import { canonicalPath } from '@gwctl/shared/grpc/definition';
import { accessOf } from './policy.js';
import type { GrpcService } from './service.js';

/** The services that this control plane offers. Each module adds its own while the application is put together. */
export class GrpcRegistry {
  private readonly all: GrpcService[] = [];

  /** Refuses a service with a method that nobody decided about, so that it is noticed at start, not by an outsider. */
  add<S extends DescService>(service: GrpcService<S>): void {
    for (const method of service.descriptor.methods) {
      const path = canonicalPath(method);
      if (accessOf(path) === undefined) throw new Error(`${path} has no line in grpc/policy.ts`);
    }
    this.all.push(service as unknown as GrpcService);
  }

  get services(): readonly GrpcService[] {
    return this.all;
  }
}
