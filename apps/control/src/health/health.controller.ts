import { Controller, Get, HttpCode, Inject, ServiceUnavailableException } from '@nestjs/common';
import { Readiness } from './readiness.js';

/** For orchestrators: alive at all, and able to serve. */
@Controller()
export class HealthController {
  constructor(@Inject(Readiness) private readonly readiness: Readiness) {}

  @Get('healthz')
  @HttpCode(200)
  healthz(): { status: string } {
    return { status: 'ok' };
  }

  @Get('readyz')
  @HttpCode(200)
  async readyz(): Promise<{ status: string }> {
    if (!(await this.readiness.ready())) throw new ServiceUnavailableException({ status: 'the database is not available' });
    return { status: 'ok' };
  }
}
