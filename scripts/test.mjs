// `npm test` and `npm run test:long`: everything that must be true, with the real parts. Ends with one line that counts.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { labCommand } from './enter-lab.mjs';
import { environment, node, prepare, requirePrograms, root, say } from './lib/toolchain.mjs';

const long = process.argv.includes('--long');
const filters = process.argv.slice(2).filter((a) => !a.startsWith('--'));
requirePrograms(
  [
    'unshare',
    'nsenter',
    'ip',
    'iptables-nft',
    'iptables-legacy',
    'nft',
    'conntrack',
    'ssh',
    'sshd',
    'git',
    'ufw',
    'curl',
    'ping',
    'sysctl',
    'mariadbd',
    'mariadb-install-db',
    'mariadb',
    'vsftpd',
    'named',
    'dig',
    'nginx',
    'openssl',
    'tcpdump',
  ],
  'npm test',
);
prepare();

mkdirSync(join(root, '.cache'), { recursive: true });
const work = mkdtempSync(join(root, '.cache', 'test-'));
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const total = { passed: 0, failed: 0, skipped: 0 };
const notRun = [];
const failures = [];

/** Runs a check that is no test file of its own (a linter, a compiler) and counts it as one test. */
function check(name, argv) {
  say(`check: ${name}`);
  const result = spawnSync(argv[0], argv.slice(1), { cwd: root, env: environment(), stdio: ['ignore', 2, 2] });
  if (result.status === 0) total.passed++;
  else {
    total.failed++;
    failures.push(`${name}: ${argv.join(' ')}`);
  }
}

/**
 * Runs one vitest configuration and adds up what it counted. A run that ends without a count is a failure. `aside`: it runs beside
 * another, so what it says is said when it is done.
 */
async function tests(name, args, { wrap = (argv) => argv, env = {}, aside = false } = {}) {
  say(`tests: ${name}`);
  const report = join(work, `${name.replaceAll(/\W+/g, '-')}.json`);
  const missed = `${report}.not-run`;
  const argv = wrap([
    node,
    vitest,
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...args,
    ...filters,
  ]);
  const child = spawn(argv[0], argv.slice(1), {
    cwd: root,
    env: environment({ GWCTL_NOT_RUN_FILE: missed, ...(long ? { GWCTL_LONG: '1' } : {}), ...env }),
    stdio: aside ? ['ignore', 'pipe', 'pipe'] : ['ignore', 2, 2],
  });
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => said.push(chunk));
  const [status, signal] = await once(child, 'close');
  const result = { status, signal };
  if (said.length > 0) process.stderr.write(Buffer.concat([Buffer.from(`\n${name}:\n`), ...said]));
  const counted = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : undefined;
  if (counted) {
    total.passed += counted.numPassedTests;
    total.failed += counted.numFailedTests;
    total.skipped += counted.numPendingTests + (counted.numTodoTests ?? 0);
    // A file that does not load has no failed test of its own, but fails the run.
    if (!counted.success && counted.numFailedTests === 0) total.failed += Math.max(1, counted.numFailedTestSuites);
    for (const file of counted.testResults.filter((f) => f.status === 'failed')) {
      const failed = file.assertionResults.filter((t) => t.status === 'failed');
      const path = relative(root, file.name);
      if (failed.length === 0) failures.push(`${path}: ${file.message}`);
      for (const t of failed) failures.push(`${path}: ${t.fullName}\n${(t.failureMessages ?? []).join('\n')}`);
    }
  }
  if (!counted || (result.status !== 0 && counted.success)) {
    total.failed++;
    failures.push(`${name} ended with ${result.signal ?? `exit code ${result.status}`}`);
  }
  if (existsSync(missed))
    for (const line of readFileSync(missed, 'utf8').split('\n').filter(Boolean)) notRun.push(JSON.parse(line));
}

const began = Date.now();
if (filters.length === 0) {
  check('code style and lint', ['biome', 'check', '--error-on-warnings', '.']);
  check('types of the tests', ['tsc', '-p', 'test', '--noEmit']);
  check('protos: lint', ['buf', 'lint']);
  check('protos: nothing released is broken', ['buf', 'breaking', '--against', 'proto/baseline.binpb']);
}
const maybe = filters.length > 0 ? ['--passWithNoTests'] : [];
await tests('programs and packages', ['--config', 'vitest.config.ts', ...maybe]);
const inLab = (name, part, options = {}) =>
  tests(name, ['--config', 'test/vitest.config.ts', ...maybe], { wrap: labCommand, env: { GWCTL_TEST_PART: part }, ...options });
// Most of them wait for what does not come, so they can share a machine. Figures are taken alone.
const parts = [
  ['in namespaces: packets', 'packets'],
  ['in namespaces: flows through changes', 'flows'],
  ['in namespaces: programs', 'programs'],
];
if (long) for (const [name, part] of parts) await inLab(name, part);
else await Promise.all(parts.map(([name, part], i) => inLab(name, part, { aside: i < parts.length - 1 })));
rmSync(work, { recursive: true, force: true });

total.skipped += notRun.length;
if (notRun.length > 0) {
  process.stdout.write(`\nNot run here (${notRun.length}), run them as root:\n`);
  for (const t of notRun) process.stdout.write(`  ${t.name}: ${t.reason}\n`);
}
// Said again at the end: of three parts side by side, what failed stands far up.
if (failures.length > 0) {
  process.stdout.write('\nFailed:\n');
  for (const f of failures) process.stdout.write(`  ${f.replaceAll('\n', '\n    ')}\n`);
}
process.stdout.write(`\n${Math.round((Date.now() - began) / 1000)} s\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);
