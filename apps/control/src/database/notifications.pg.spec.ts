import { createLogger } from '@gwctl/shared/logging/logger';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FreshDatabase, freshDatabase } from '../testing/fresh-database.js';
import { Notifications, type Wakeup } from './notifications.js';

const logger = createLogger({ name: 'test', level: 'silent' });

describe('notifications', () => {
  let fresh: FreshDatabase;
  const open: Notifications[] = [];
  beforeAll(async () => {
    fresh = await freshDatabase();
  });
  afterAll(async () => {
    for (const n of open) await n.close();
    await fresh.drop();
  });

  const replica = async () => {
    const notifications = new Notifications({ connection: { connectionString: fresh.url }, logger });
    open.push(notifications);
    await notifications.start();
    const heard: Wakeup[] = [];
    notifications.subscribe((wakeup) => heard.push(wakeup));
    return { notifications, heard, hints: () => heard.filter((w) => w !== 'everything') };
  };

  it('reach this replica at once, the others soon, each once', async () => {
    const a = await replica();
    const b = await replica();
    const hint = { topic: 'desired', uid: 'u1' } as const;
    a.notifications.publish([hint]);
    expect(a.hints()).toEqual([hint]);
    await expect.poll(b.hints).toEqual([hint]);
    expect(a.hints()).toEqual([hint]);
  });

  it('are gathered: a burst is one notification, and one too long for PostgreSQL means everything', async () => {
    const a = await replica();
    const b = await replica();
    const hints = Array.from({ length: 1_000 }, (_, i) => ({ topic: 'entry' as const, uid: `00000000-0000-4000-8000-${i}` }));
    a.notifications.publish(hints);
    await expect.poll(() => b.heard).toContain('everything');
    expect(b.hints()).toEqual([]);
  });

  it('make a replica look at everything when its connection was lost, and are heard again afterwards', async () => {
    const a = await replica();
    const b = await replica();
    const before = b.heard.length;
    await fresh.sql.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gwctl-listen' AND datname = current_database()",
    );
    await expect.poll(() => b.heard.slice(before), { timeout: 5_000 }).toContain('everything');
    const hint = { topic: 'gateway', uid: 'u2' } as const;
    await expect
      .poll(
        () => {
          a.notifications.publish([hint]);
          return b.hints();
        },
        { timeout: 10_000, interval: 200 },
      )
      .toContainEqual(hint);
  });
});
