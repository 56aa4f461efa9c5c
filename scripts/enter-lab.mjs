// Runs a command in private namespaces (network, processes, mounts), as root or as an ordinary user:
//   node scripts/enter-lab.mjs -- CMD [ARGS...]
// Nothing of this machine is changed, and nothing survives: the kernel ends every process of the process namespace
// when its first one ends, and mounts and network namespaces go with them; TMPDIR is a directory that is removed.
// Plain JavaScript, no dependencies, Node.js 20.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { requirePrograms } from './lib/toolchain.mjs';

const self = fileURLToPath(import.meta.url);

/**
 * Wraps a command so that it runs inside the lab. The wrapper passes signals on and gives the command's exit code.
 * @param {string[]} argv program and arguments
 * @returns {string[]} what to start instead
 */
export function labCommand(argv) {
  return [process.execPath, self, '--', ...argv];
}

/**
 * First process inside. A shell, because process 1 must collect orphans (Node.js does not) and because the kernel
 * delivers to process 1 only signals that it has a handler for. The handlers come after the command's fork: a shell that
 * has forked forgets what arrives before it resets the handlers that it inherited. A command started with & has SIGINT
 * ignored and no standard input; both are put right. SIGINT comes from a terminal, which sends it to the command too;
 * one that is meant for the command alone comes as SIGUSR1.
 */
const FIRST_PROCESS = `
set -e
mount -t tmpfs -o mode=755,nosuid,nodev gwctl-lab /run
mkdir -p /run/netns /run/sshd /run/lock /run/user
chmod 1777 /run/lock
ip link set lo up
set +e
exec 3<&0
env --default-signal=INT,QUIT -- "$@" <&3 3<&- &
child=$!
trap 'caught=1' INT
trap 'caught=1; kill -INT $child 2>/dev/null' USR1
for s in TERM HUP; do trap "caught=1; kill -$s $child 2>/dev/null" $s; done
exec 3<&-
code=
while :; do
  caught=
  wait $child
  status=$?
  [ $status = 127 ] && [ -n "$code" ] || code=$status
  [ -n "$caught" ] || break
done
exit $code
`;

function say(text) {
  process.stderr.write(`gwctl lab: ${text}\n`);
}

/** `root`: a real root with all its users. `user`: root of a namespace in which no other user exists. */
function labMode() {
  if (process.getuid() !== 0) return 'user';
  const mapped = readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n');
  return mapped.length === 1 && mapped[0].trim().split(/\s+/)[2] === '1' ? 'user' : 'root';
}

function sysctl(name) {
  try {
    return readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'utf8').trim();
  } catch (error) {
    if (error.code === 'ENOENT') return undefined; // this kernel has no such switch
    throw error;
  }
}

/** Why a private namespace cannot be made here, or undefined where it can. Found by trying. */
function obstacle(unshare) {
  const tried = spawnSync(unshare[0], [...unshare.slice(1), 'true'], { encoding: 'utf8', timeout: 10_000 });
  if (tried.status === 0) return undefined;
  const what = (tried.stderr || tried.error?.message || `exit code ${tried.status}`).trim();
  const lines = [`cannot make private namespaces: ${what}`];
  if (process.getuid() === 0) {
    lines.push(
      'root here lacks CAP_SYS_ADMIN or CAP_NET_ADMIN (a container?): give the container these, or run as an ordinary user',
    );
  } else {
    const switches = [
      ['kernel.unprivileged_userns_clone', (v) => v === '0', '1'],
      ['user.max_user_namespaces', (v) => v === '0', '15000'],
      ['user.max_net_namespaces', (v) => v === '0', '15000'],
      ['kernel.apparmor_restrict_unprivileged_userns', (v) => v === '1', '0'],
    ];
    const off = switches.filter(([name, forbids]) => forbids(sysctl(name) ?? ''));
    if (off.length === 0) lines.push('user namespaces are not allowed for ordinary users here');
    for (const [name, , allow] of off)
      lines.push(
        `ordinary users may not make user namespaces: sudo sysctl -w ${name}=${allow} (it is ${sysctl(name)}), or run as root`,
      );
  }
  return lines.join('\n  ');
}

/** Sends a signal to the first process inside once that is there and handles it; before, the kernel would discard it. */
function deliver(outer, signal) {
  if (outer.exitCode !== null || outer.signalCode !== null) return;
  const attempt = () => {
    const first = readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, 'utf8').trim().split(' ')[0];
    if (!first) return false;
    const handled = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${first}/status`, 'utf8'));
    if (!handled || !((BigInt(`0x${handled[1]}`) >> BigInt(constants.signals[signal] - 1)) & 1n)) return false;
    process.kill(Number(first), signal);
    return true;
  };
  try {
    if (attempt()) return;
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error; // it ended meanwhile: its exit event follows
  }
  setTimeout(() => deliver(outer, signal), 20);
}

function main(argv) {
  const at = argv.indexOf('--');
  const command = at === -1 ? argv : argv.slice(at + 1);
  if (command.length === 0 || at > 0) {
    say('usage: node scripts/enter-lab.mjs -- CMD [ARGS...]');
    process.exit(2);
  }
  process.env.PATH = [process.env.PATH, '/usr/sbin', '/sbin'].filter(Boolean).join(':');
  requirePrograms(['unshare', 'nsenter', 'setpriv', 'mount', 'ip', 'env', 'sysctl', 'hostname'], 'the lab');
  const unshare = ['unshare', ...(process.getuid() === 0 ? [] : ['--user', '--map-root-user'])];
  unshare.push('--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private');
  const why = obstacle(unshare);
  if (why !== undefined) {
    say(why);
    process.exit(1);
  }
  // Files too leave nothing behind, however the program inside ends.
  const temporary = mkdtempSync(join(tmpdir(), 'gwctl-'));
  chmodSync(temporary, 0o1777);
  process.on('exit', () => rmSync(temporary, { recursive: true, force: true }));
  // setpriv ends unshare, and so everything inside, when this process is killed without a chance to say so.
  const outer = spawn('setpriv', ['--pdeathsig', 'KILL', ...unshare, 'sh', '-c', FIRST_PROCESS, 'gwctl-lab', ...command], {
    stdio: 'inherit',
    env: { ...process.env, GWCTL_LAB: labMode(), TMPDIR: temporary },
  });
  let asked = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (++asked > 3) outer.kill('SIGKILL');
      // A terminal's Ctrl-C has reached the program inside already; twice would mean "at once" to many programs.
      else if (signal !== 'SIGINT') deliver(outer, signal);
      else if (!process.stdin.isTTY && !process.stderr.isTTY) deliver(outer, 'SIGUSR1');
    });
  }
  outer.on('error', (error) => {
    say(`cannot start: ${error.message}`);
    process.exit(1);
  });
  outer.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) main(process.argv.slice(2));
