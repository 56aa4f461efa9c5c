import { defineConfig } from 'vitest/config';

/** Tests beside the code: nothing needed (`x.spec.ts`) or a PostgreSQL (`x.pg.spec.ts`). Namespaces: test/vitest.config.ts. */
export default defineConfig({
  test: {
    include: ['packages/*/src/**/*.spec.ts', 'apps/*/src/**/*.spec.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
