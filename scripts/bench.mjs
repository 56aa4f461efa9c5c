// `npm run bench -- NAME`: one figure's measurement; the last line is a JSON object.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { labCommand } from './enter-lab.mjs';
import { environment, fail, node, prepare, requirePrograms, root, run } from './lib/toolchain.mjs';

const [name, ...rest] = process.argv.slice(2);
const names = readdirSync(join(root, 'bench'))
  .filter((f) => f.endsWith('.ts'))
  .map((f) => f.slice(0, -3));
if (!name || !existsSync(join(root, 'bench', `${name}.ts`))) fail(`name a bench: npm run bench -- ${names.join(' | ')}`);
/** What single ones need besides. */
const ALSO = { relay: ['nginx', 'haproxy', 'socat'], 'relay-limits': ['nft'] };
requirePrograms(
  ['unshare', 'nsenter', 'ip', 'iptables-nft', 'iptables-legacy', 'conntrack', 'sysctl', ...(ALSO[name] ?? [])],
  `the bench ${name}`,
);
if (name === 'relay' && !existsSync('/usr/lib/nginx/modules/ngx_stream_module.so'))
  fail(
    'the bench relay needs the stream module of nginx. Install it (Debian, Ubuntu):\n  sudo apt-get install -y libnginx-mod-stream',
  );
prepare();
run(['tsc', '-b', 'test'], { quiet: true });
const [program, ...args] = labCommand([node, join(root, '.cache/test-build/bench', `${name}.js`), ...rest]);
const result = spawnSync(program, args, { cwd: root, env: environment(), stdio: 'inherit' });
process.exit(result.status ?? 1);
