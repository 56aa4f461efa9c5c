/** Who must not get in, and what must not get out: the requirements of SECURITY.md that need the whole of gwctl. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rootOnly } from '../lab/root-only.js';
import { checkout, program } from './checkout.js';
import { World } from './world.js';

const PUBLIC = [
  '/grpc.health.v1.Health/Check',
  '/grpc.health.v1.Health/List',
  '/grpc.health.v1.Health/Watch',
  // Anybody may ask; the join token inside the request decides.
  '/gwctl.agent.v1.EnrolService/Enrol',
];
const AGENT = ['/gwctl.agent.v1.IdentityService/Renew', '/gwctl.agent.v1.SessionService/Session'];

let world: World;
beforeAll(async () => {
  world = await World.start({ name: 'security', controlFlags: ['--log-level', 'debug'] });
  await world.serve('gitbucket', '192.168.2.122:10022');
  const listen = ['--gateway', 'gw1', '--listen', '192.168.1.10:10022', '--target', '192.168.2.122:10022'];
  await world.gwctl(['forward', 'add', 'ssh', ...listen, '--wait']);
});
afterAll(() => world?.stop());

/** How each method ended for somebody with these credentials. */
async function intrude(credentials: { token?: string; cert?: string; key?: string; times?: number; only?: string }) {
  const options = JSON.stringify({ server: world.server, ca: world.caFile, ...credentials });
  const argv = [process.execPath, join(checkout, 'test/e2e/intruder-main.ts'), options];
  const { stdout } = await world.lab.host('control').exec(argv, { timeoutMs: 60_000 });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as [string, string]);
}

const identity = (file: string) => join(world.agent.stateDir, 'identity', file);
const agentFiles = () => {
  const names = readdirSync(join(world.agent.stateDir, 'identity'));
  const named = (pattern: RegExp) => identity(names.find((n) => pattern.test(n)) ?? 'none');
  return { cert: named(/cert/i), key: named(/key/i) };
};

describe('who may call what (S2, S4, S5, S9, S25)', () => {
  it('denies every method of every proto without credentials', async () => {
    const outcomes = await intrude({});
    expect(outcomes.length).toBeGreaterThan(20);
    for (const [path, outcome] of outcomes) {
      if (PUBLIC.includes(path)) continue;
      expect(['UNAUTHENTICATED', 'PERMISSION_DENIED', 'UNIMPLEMENTED'], `${path} gave ${outcome}`).toContain(outcome);
      if (outcome === 'UNIMPLEMENTED') expect(path).toMatch(/createForward|Nothing/);
    }
  });

  it.each(['', 'admin', 'gwctl', 'password', 'changeme', `gwctl_at_${'A'.repeat(43)}`, 'null', 'undefined'])(
    'denies the well-known token %j',
    async (token) => {
      const [[, outcome] = []] = await intrude({ token, only: 'WhoAmI' });
      expect(outcome).toBe('UNAUTHENTICATED');
    },
  );

  it("denies an agent's certificate everywhere but at an agent's methods", async () => {
    for (const [path, outcome] of await intrude(agentFiles())) {
      if (PUBLIC.includes(path)) continue;
      if (AGENT.includes(path)) expect(outcome, path).not.toMatch(/UNAUTHENTICATED|PERMISSION_DENIED/);
      else expect(['UNAUTHENTICATED', 'PERMISSION_DENIED', 'UNIMPLEMENTED'], `${path} gave ${outcome}`).toContain(outcome);
    }
  });

  it("denies an operator's token at an agent's methods", async () => {
    const token = readFileSync(world.tokenFile, 'utf8').trim();
    const outcomes = (await intrude({ token })).filter(([path]) => AGENT.includes(path));
    expect(outcomes).toHaveLength(AGENT.length);
    for (const [path, outcome] of outcomes) expect(['UNAUTHENTICATED', 'PERMISSION_DENIED'], path).toContain(outcome);
  });

  it('lives through a hundred denied sessions', async () => {
    const { pid } = world.control.process;
    const outcomes = await intrude({ times: 100, only: 'SessionService' });
    expect(outcomes).toHaveLength(100);
    expect(world.control.process).toMatchObject({ pid, running: true });
    expect(await world.forwardState('ssh')).toBe('ACTIVE');
  });
});

describe('the door (S1, S6)', () => {
  it('does not start where its CA key cannot be read', async () => {
    const dir = world.lab.directory('broken');
    const argv = [program('gwctl-control'), 'serve', '--data-dir', dir, '--listen', '127.0.0.1:7999', '--http', '127.0.0.1:7998'];
    const first = await world.lab.host('router').spawn(argv, { ready: 7999, readyTimeoutMs: 30_000 });
    await first.stop();
    writeFileSync(join(dir, 'ca.key'), 'not a key\n');
    const again = await world.lab.host('router').exec(argv, { allowFailure: true, timeoutMs: 30_000 });
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(/ca\.key/);
  });

  it('answers nothing to HTTP/2 without TLS', async () => {
    const script = `
      const s = require('node:net').connect(7443, '192.168.1.5', () => s.write('PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n'));
      let got = 0; s.on('data', (d) => (got += d[0] === 21 ? 0 : d.length)); s.on('error', () => {});
      s.on('close', () => console.log(JSON.stringify({ got })));`;
    const { stdout } = await world.lab.host('client').exec([process.execPath, '-e', script]);
    expect(JSON.parse(stdout)).toEqual({ got: 0 });
  });

  it('keeps letting others in while one address holds a thousand half-open handshakes, and drops them', async () => {
    const script = `
      let open = 0, closed = 0; const began = Date.now();
      for (let i = 0; i < 1000; i++) {
        const s = require('node:net').connect(7443, '192.168.1.5', () => { if (++open === 1000) console.log('all open'); });
        s.on('error', () => {}); s.on('close', () => { if (++closed === 1000) console.log(JSON.stringify({ ms: Date.now() - began })); });
      }`;
    const holder = await world.lab.host('client').spawn([process.execPath, '-e', script]);
    await holder.waitForOutput(/all open/, { timeoutMs: 20_000 });
    const began = performance.now();
    await world.gwctl(['forward', 'list']);
    // A whole process of gwctl, Node.js's start included; its handshake is a small part of it.
    expect(performance.now() - began).toBeLessThan(2_000);
    const [line] = await holder.waitForOutput(/\{"ms":\d+\}/, { timeoutMs: 20_000 });
    expect(JSON.parse(line).ms).toBeLessThan(15_000);
  });
});

describe('what is sent (S27, S33)', () => {
  const nasty = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom(
      '"; flush ruleset; "',
      "' -j ACCEPT",
      '-x',
      '--help',
      '\u202egwctl',
      'a\0b',
      '$(reboot)',
      '`id`',
      'a\n-A INPUT -j ACCEPT',
      '../../etc',
    ),
  );

  it("lets no user's text reach a rule, whatever it is", async () => {
    const api = await world.api();
    const foreign = await world.rules.foreign();
    let port = 21_000;
    await fc.assert(
      fc.asyncProperty(
        nasty,
        fc.constantFrom('name', 'description', 'owner', 'label', 'interface', 'allow', 'target', 'address'),
        async (text, field) => {
          const marked = `EVIL${text}`;
          const pick = (f: string, otherwise: string) => (f === field ? marked : otherwise);
          port++;
          const spec = {
            gateway: 'gw1',
            description: pick('description', ''),
            owner: pick('owner', ''),
            listen: {
              address: pick('address', '192.168.1.10'),
              interface: pick('interface', ''),
              protocol: 'PROTOCOL_TCP',
              ports: { first: port, last: port },
            },
            targets: [{ host: pick('target', '192.168.2.122'), port: 10022 }],
            allowSources: field === 'allow' ? [marked] : [],
            enabled: true,
          };
          const labels = field === 'label' ? { [marked]: marked } : {};
          const forward = { name: pick('name', `n${port}`), labels, spec };
          await api.call('ForwardService.CreateForward', { forward }).catch((error: { code: string }) => {
            expect(['INVALID_ARGUMENT', 'UNIMPLEMENTED']).toContain(error.code);
          });
        },
      ),
      { numRuns: 100, seed: 27 },
    );
    await world.applied();
    const own = await world.rules.own();
    expect(own).not.toContain('EVIL');
    expect(own).toMatch(/--dport 210\d\d/);
    expect(await world.rules.foreign()).toBe(foreign);
  });

  it('holds its limits on either side', async () => {
    const api = await world.api();
    const create = (port: number, change: object, labels = {}) =>
      api.call('ForwardService.CreateForward', {
        validateOnly: true,
        forward: {
          name: `limit${port}`,
          labels,
          spec: {
            gateway: 'gw1',
            listen: { protocol: 'PROTOCOL_TCP', ports: { first: port, last: port } },
            targets: [{ host: '192.168.2.122', port: 1 }],
            enabled: true,
            ...change,
          },
        },
      });
    const labels = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, 'v']));
    await create(65535, {});
    await create(4001, { description: 'x'.repeat(256) });
    await create(4002, {}, labels(64));
    const invalid = { code: 'INVALID_ARGUMENT' };
    await expect(create(65536, {})).rejects.toMatchObject(invalid);
    await expect(create(4003, { description: 'x'.repeat(257) })).rejects.toMatchObject(invalid);
    await expect(create(4004, {}, labels(65))).rejects.toMatchObject(invalid);
    await expect(create(4005, { description: 'x'.repeat(2 << 20) })).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    const wide = { listen: { protocol: 'PROTOCOL_TCP', ports: { first: 1000, last: 5096 } } };
    await expect(create(4006, wide)).rejects.toMatchObject(invalid);
    const fromNothing = { listen: { protocol: 'PROTOCOL_TCP', ports: { first: 0, last: 9 } } };
    await expect(create(4007, fromNothing)).rejects.toMatchObject(invalid);
  });
});

describe("the agent's own door (S37)", () => {
  it('shows its socket to nobody else', async () => {
    const { stdout } = await world.lab.host('gw1').exec(['find', world.agent.stateDir, '-type', 's', '-printf', '%m %p\n']);
    expect(stdout).toMatch(/^660 /);
    expect((await world.lab.host('gw1').exec(['ss', '-Hltn'])).stdout).toBe('');
  });

  rootOnly('answers no other user', 'otherUsers', async () => {
    const argv = [program('gwctl-agent'), 'status', '--state-dir', world.agent.stateDir];
    const result = await world.lab.host('gw1').exec(argv, { asOrdinaryUser: true, allowFailure: true });
    expect(result).toMatchObject({ code: 4, stdout: '' });
  });
});

describe('secrets (S12, S39)', () => {
  it('stand in no log, no command line and no environment', async () => {
    const joinString = (await world.gwctl(['gateway', 'add', 'gw9'])).stdout.trim();
    const admin = readFileSync(world.tokenFile, 'utf8').trim();
    const key = readFileSync(agentFiles().key, 'utf8').split('\n')[1] ?? '';
    expect(key.length).toBeGreaterThan(20);
    await world.join(joinString, 'gw9');
    const token = (JSON.parse(Buffer.from(joinString.split('.')[1] ?? '', 'base64url').toString()) as string[])[3] ?? '';
    expect(token).toMatch(/^gwctl_jt_/);
    const said = world.control.process.output + world.agent.process.output;
    expect(said.length).toBeGreaterThan(1_000);
    const shown = [said];
    for (const host of world.lab.hosts)
      for (const { pid } of host.runningProcesses())
        for (const file of ['cmdline', 'environ']) shown.push(await readOrGone(`/proc/${pid}/${file}`));
    for (const secret of [joinString, token, admin, key]) for (const text of shown) expect(text.includes(secret)).toBe(false);
  });

  it('are readable by their owner only', async () => {
    const files = [world.tokenFile, join(world.dir, 'control', 'ca.key'), agentFiles().key];
    const { stdout } = await world.lab.host('gw1').exec(['stat', '-L', '-c', '%a', ...files]);
    expect(stdout.trim().split('\n')).toEqual(files.map(() => '600'));
  });
});

/** A process that ended meanwhile shows nothing. */
async function readOrGone(file: string): Promise<string> {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}
