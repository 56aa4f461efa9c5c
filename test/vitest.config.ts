import { defineConfig } from 'vitest/config';

/** Tests that can run at the same time as those of the other parts, in namespaces of their own. Each part takes about as long. */
const FLOWS = [
  'test/packet-table/{changes,counters,closed-host,ftp,announce,ownership,conntrack}*.spec.ts',
  'test/disruption/relay*.spec.ts',
];
const PROGRAMS = [
  'test/e2e/**/*.spec.ts',
  'test/disruption/{agent-killed,control-gone,ping-pong}.spec.ts',
  'test/packet-table/{bridged,limits,path,stale-rules}.spec.ts',
];
const PARTS: Readonly<Record<string, { readonly include: readonly string[]; readonly exclude?: readonly string[] }>> = {
  flows: { include: FLOWS },
  programs: { include: PROGRAMS },
  // Whatever is in none of the others.
  packets: { include: ['test/**/*.spec.ts'], exclude: [...FLOWS, ...PROGRAMS] },
};
const part = PARTS[process.env.GWCTL_TEST_PART ?? ''];

/** Tests that need network namespaces; start with `node scripts/enter-lab.mjs --` in front. One after the other: they measure time. */
export default defineConfig({
  test: {
    include: [...(part?.include ?? ['test/**/*.spec.ts'])],
    exclude: [...(part?.exclude ?? [])],
    fileParallelism: false,
    maxWorkers: 1,
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // As an ordinary user a group may consist of tests that need a real root only; the runner counts these.
    passWithNoTests: true,
  },
});
