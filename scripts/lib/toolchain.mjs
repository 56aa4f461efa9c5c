// Brings the right Node.js, pnpm and packages, and builds, on a machine with only Node.js (20 or later) and npm.
// Plain JavaScript without dependencies: it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const NODE_VERSION = '24.21.0';
const PNPM_VERSION = '12.21.0';
const toolchain = join(root, '.toolchain');
const cache = join(root, '.cache');
const nodePackage = `node-linux-${process.arch === 'arm64' ? 'arm64' : 'x64'}`;

/** The Node.js that everything of gwctl runs on, whatever started this script. */
export const node = join(toolchain, 'node_modules', nodePackage, 'bin', 'node');
const pnpm = join(toolchain, 'node_modules', 'pnpm', 'bin', 'pnpm.mjs');

/** Talk goes to standard error; standard output belongs to data. */
export function say(text) {
  process.stderr.write(`gwctl: ${text}\n`);
}

export function fail(text) {
  process.stderr.write(`gwctl: ${text}\n`);
  process.exit(1);
}

/** Environment in which `node` and the packages' programs are ours. */
export function environment(extra = {}) {
  const path = [dirname(node), join(root, 'node_modules', '.bin'), process.env.PATH, '/usr/sbin', '/sbin'].join(':');
  return { ...process.env, PATH: path, ...extra };
}

/** Runs a command with its output shown on standard error, or kept back until it fails where `quiet`. */
export function run(argv, { quiet = false, cwd = root, env = {}, timeoutMs = 600_000 } = {}) {
  const [program, ...args] = argv;
  const result = spawnSync(program, args, {
    cwd,
    env: environment(env),
    stdio: quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 2, 2],
    timeout: timeoutMs,
    maxBuffer: 64 << 20,
  });
  if (result.status === 0) return;
  if (quiet) process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
  const why = result.error ? result.error.message : result.signal ? `ended by ${result.signal}` : `exit code ${result.status}`;
  fail(`failed: ${argv.join(' ')} (${why})`);
}

/** Does `work` only if the inputs changed since it last succeeded. */
function once(name, inputs, outputs, work) {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(input).update('\0');
  const stamp = join(cache, `${name}.stamp`);
  const digest = hash.digest('hex');
  const current = existsSync(stamp) && readFileSync(stamp, 'utf8') === digest && outputs.every((o) => existsSync(join(root, o)));
  if (current) return;
  work();
  mkdirSync(cache, { recursive: true });
  writeFileSync(stamp, digest);
}

const text = (path) => readFileSync(join(root, path), 'utf8');

/** The contents of all files below `dir` whose names end with one of `endings`. */
function tree(dir, endings) {
  const found = [];
  for (const entry of readdirSync(join(root, dir), { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) found.push(...tree(path, endings));
    else if (endings.some((e) => entry.name.endsWith(e))) found.push(path, text(path));
  }
  return found;
}

function bringNode() {
  if (process.platform !== 'linux') fail(`runs on Linux only (this is ${process.platform})`);
  if (process.arch !== 'x64' && process.arch !== 'arm64') fail(`runs on x64 and arm64 only (this is ${process.arch})`);
  once('toolchain', [nodePackage, NODE_VERSION, PNPM_VERSION], [`.toolchain/node_modules/${nodePackage}/bin/node`], () => {
    say(`bringing Node.js ${NODE_VERSION} and pnpm ${PNPM_VERSION} from npm (once, about 10 s) ...`);
    mkdirSync(toolchain, { recursive: true });
    if (!existsSync(join(toolchain, 'package.json'))) writeFileSync(join(toolchain, 'package.json'), '{"private":true}\n');
    run(
      [
        'npm',
        'install',
        '--no-audit',
        '--no-fund',
        '--no-package-lock',
        '--no-save',
        '--ignore-scripts',
        '--loglevel=error',
      ].concat([`${nodePackage}@${NODE_VERSION}`, `pnpm@${PNPM_VERSION}`]),
      { quiet: true, cwd: toolchain },
    );
  });
}

function installPackages() {
  const manifests = ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml'];
  for (const dir of ['packages', 'apps'])
    for (const name of readdirSync(join(root, dir)))
      if (existsSync(join(root, dir, name, 'package.json'))) manifests.push(join(dir, name, 'package.json'));
  once('packages', manifests.map(text), ['node_modules/.pnpm'], () => {
    say('installing packages (once, about 15 s) ...');
    run([node, pnpm, 'install', '--frozen-lockfile', '--reporter=append-only'], { quiet: true, env: { CI: 'true' } });
  });
}

function generateCode() {
  once('proto', [...tree('proto', ['.proto']), text('buf.gen.yaml')], ['packages/proto/src/gen'], () => {
    say('generating code from proto/ ...');
    run(['buf', 'generate'], { quiet: true });
  });
  once('prisma', tree('apps/control/prisma', ['.prisma']), ['apps/control/src/database/generated'], () => {
    say('generating the database client ...');
    run([node, pnpm, '--filter', '@gwctl/control', 'run', 'generate'], { quiet: true });
  });
}

function compile() {
  // tsc keeps its own record of what changed; asking it costs less than hashing every source.
  run(['tsc', '-b', 'packages/proto', 'packages/shared', 'apps/control', 'apps/agent', 'apps/cli'], { quiet: true });
  const sources = ['packages/shared/dist', 'apps/cli/dist']
    .flatMap((d) => tree(d, ['.js']))
    .filter((p) => !p.includes('/bundle/'));
  once('cli-bundle', sources, ['apps/cli/dist/bundle/main.js'], () => {
    // One file starts in a third of the time that several hundred modules take.
    run(
      ['esbuild', 'apps/cli/dist/main.js', '--bundle', '--platform=node', '--format=esm', '--target=node24', '--splitting']
        .concat(['--outdir=apps/cli/dist/bundle', '--log-level=error'])
        .concat([
          '--banner:js=import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
        ]),
      { quiet: true },
    );
  });
}

/** Everything that must be there before a program of gwctl can run. Says what it does; does nothing twice. */
export function prepare() {
  bringNode();
  installPackages();
  generateCode();
  const started = Date.now();
  compile();
  if (Date.now() - started > 3000) say('built');
}

const PACKAGES = {
  unshare: 'util-linux',
  nsenter: 'util-linux',
  ip: 'iproute2',
  'iptables-nft': 'iptables',
  'iptables-legacy': 'iptables',
  nft: 'nftables',
  conntrack: 'conntrack',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  sshd: 'openssh-server',
  git: 'git',
  ufw: 'ufw',
  curl: 'curl',
  ping: 'iputils-ping',
  sysctl: 'procps',
  su: 'util-linux',
  setpriv: 'util-linux',
  mount: 'mount',
  env: 'coreutils',
  hostname: 'hostname',
  mariadbd: 'mariadb-server-core',
  'mariadb-install-db': 'mariadb-server-core',
  mariadb: 'mariadb-client-core',
  vsftpd: 'vsftpd',
  named: 'bind9',
  dig: 'bind9-dnsutils',
  nginx: 'nginx',
  haproxy: 'haproxy',
  socat: 'socat',
  openssl: 'openssl',
};

/** Which of these system programs are missing, as the Debian packages that bring them. */
export function missingPackages(programs) {
  const dirs = environment().PATH.split(':');
  const there = (program) => dirs.some((d) => d && existsSync(join(d, program)) && statSync(join(d, program)).isFile());
  return [...new Set(programs.filter((p) => !there(p)).map((p) => PACKAGES[p] ?? p))];
}

/** Stops with what to install when one of these system programs is missing. */
export function requirePrograms(programs, purpose) {
  const missing = missingPackages(programs);
  if (missing.length === 0) return;
  fail(
    `${purpose} needs programs of the system that are missing. Install them (Debian, Ubuntu):\n  sudo apt-get install -y ${missing.join(' ')}`,
  );
}
