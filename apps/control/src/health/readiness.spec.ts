import { AppError } from '@gwctl/shared/errors/app-error';
import { createLogger } from '@gwctl/shared/logging/logger';
import { describe, expect, it } from 'vitest';
import type { Database } from '../database/database.js';
import { HealthController } from './health.controller.js';
import { Readiness } from './readiness.js';

const away = new AppError({ code: 'UNAVAILABLE', reason: 'DATABASE_UNAVAILABLE', message: 'away' });
const controller = (ping: () => Promise<void>) =>
  new HealthController(new Readiness({ ping } as Database, createLogger({ name: 'test', level: 'silent' })));

describe('health over HTTP', () => {
  it('is ready while the database answers', async () => {
    expect(await controller(() => Promise.resolve()).readyz()).toEqual({ status: 'ok' });
  });

  it('is alive but not ready (503) while the database is away', async () => {
    const failing = controller(() => Promise.reject(away));
    await expect(failing.readyz()).rejects.toMatchObject({ status: 503 });
    expect(failing.healthz()).toEqual({ status: 'ok' });
  });
});
