import { defineConfig } from 'vitest/config';

/** Tests that need network namespaces; start with `node scripts/enter-lab.mjs --` in front. One after the other: they measure time. */
export default defineConfig({
  test: {
    include: ['test/**/*.spec.ts'],
    fileParallelism: false,
    maxWorkers: 1,
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // As an ordinary user a group may consist of tests that need a real root only; the runner counts these.
    passWithNoTests: true,
  },
});
