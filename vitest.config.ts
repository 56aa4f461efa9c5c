import { defineConfig } from 'vitest/config';

const include = (pattern: string) => [`packages/*/src/**/${pattern}`, `apps/*/src/**/${pattern}`];

/** Tests beside the code: nothing needed (`x.spec.ts`) or a PostgreSQL (`x.pg.spec.ts`). Namespaces: test/vitest.config.ts. */
export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Vitest leaves one processor to itself, which of two is half of them.
    maxWorkers: '100%',
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: include('*.spec.ts'), exclude: ['**/*.pg.spec.ts', '**/node_modules/**'] },
      },
      // One server for all of them, started only where one of them runs.
      {
        extends: true,
        test: { name: 'pg', include: include('*.pg.spec.ts'), globalSetup: ['apps/control/src/testing/postgres.setup.ts'] },
      },
    ],
  },
});
