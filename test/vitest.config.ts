import { defineConfig } from 'vitest/config';

/** The tests that can run at the same time as the other part, in namespaces of their own. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  packets: ['test/packet-table/**/*.spec.ts', 'test/lab/**/*.spec.ts', 'test/*.spec.ts'],
  programs: ['test/e2e/**/*.spec.ts', 'test/disruption/**/*.spec.ts'],
};

/** Tests that need network namespaces; start with `node scripts/enter-lab.mjs --` in front. One after the other: they measure time. */
export default defineConfig({
  test: {
    include: [...(PARTS[process.env.GWCTL_TEST_PART ?? ''] ?? ['test/**/*.spec.ts'])],
    fileParallelism: false,
    maxWorkers: 1,
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // As an ordinary user a group may consist of tests that need a real root only; the runner counts these.
    passWithNoTests: true,
  },
});
