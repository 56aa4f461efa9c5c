// `npm start`: scenario 1 of the README on hosts made of network namespaces: control plane, gateway, forward, traffic.
import { spawn } from 'node:child_process';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { labCommand } from './enter-lab.mjs';
import { environment, node, prepare, requirePrograms, root, run, say } from './lib/toolchain.mjs';

const asRoot = userInfo().uid === 0;
requirePrograms(
  ['unshare', 'nsenter', 'ip', 'iptables-nft', 'conntrack', 'sysctl', ...(asRoot ? ['ssh', 'sshd', 'ssh-keygen'] : [])],
  'npm start',
);
prepare();
run(['tsc', '-b', 'test'], { quiet: true });
say('building the hosts (network namespaces of their own; nothing of this machine is changed) ...');
const [program, ...args] = labCommand([node, join(root, '.cache/test-build/test/lab/demo.js'), ...process.argv.slice(2)]);
const child = spawn(program, args, { cwd: root, env: environment(), stdio: 'inherit' });
// A terminal sends Ctrl-C to the whole group; a service manager sends SIGTERM to us alone.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => signal !== 'SIGINT' && child.kill(signal));
// npm ends at SIGTERM without telling us; whoever started us being gone means the same.
const parent = process.ppid;
setInterval(() => process.ppid !== parent && child.kill('SIGTERM'), 500).unref();
child.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
