/** A relay that hangs while it drains: everybody else is counted and cleaned up, and it is named. And relays that would feed each other. */
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkout } from '../e2e/checkout.js';
import { World } from '../e2e/world.js';
import { waitFor } from '../lab/index.js';

let world: World;
beforeAll(async () => {
  world = await World.start({ name: 'hanging', driver: 'nftables' });
  await world.serve('gitbucket', '192.168.2.122:10022');
  await world.add('web', '192.168.1.10:10080', '192.168.2.122:10022', '--wait');
  await world.add('ssh', '192.168.1.10:10022', '192.168.2.122:10022', '--driver', 'relay', '--wait');
});
afterAll(() => world?.stop({ mayBeLeft: [/ relay --state-dir /] }));

const relays = (): number[] =>
  world.lab
    .host('gw1')
    .runningProcesses()
    .filter((p) => / relay --state-dir .* --channel$/.test(p.command))
    .map((p) => p.pid);

interface Status {
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly message: string }[];
  readonly forwards: readonly { readonly name: string; readonly counters?: { readonly flows: number } }[];
}

async function status(): Promise<{ readonly silent: string | undefined; readonly flows: (name: string) => number }> {
  const { stdout } = await world.agent.command(['status', '-o', 'json']);
  const { conditions, forwards } = JSON.parse(stdout) as Status;
  return {
    silent: conditions.find((c) => c.type === 'RelaysAnswer' && c.status === 'false')?.message,
    flows: (name) => forwards.find((f) => f.name === name)?.counters?.flows ?? 0,
  };
}

/** Until every forward was counted with what was just opened. */
const counted = (least: Readonly<Record<string, number>>) =>
  waitFor(
    async () => {
      const { flows } = await status();
      return Object.entries(least).every(([name, n]) => flows(name) >= n);
    },
    { what: `flows are counted: ${JSON.stringify(least)}`, timeoutMs: 90_000, intervalMs: 1_000 },
  );

describe('a relay that hangs while it drains', () => {
  let old: number;

  it('keeps no counter from going on, neither of the relay nor of the kernel, and is named', async () => {
    const long = await world.lab.host('client').prober({ to: '192.168.1.10', port: 10022, kind: 'longFlow' }).start().settled();
    [old = 0] = relays();
    await world.agent.kill('SIGTERM');
    await world.agent.start({ program: newerProgram() });
    // It drains, under another name, once its successor listens.
    const draining = join(world.agent.stateDir, 'run', `relay-${old}.sock`);
    await waitFor(() => existsSync(draining), { what: 'the old relay drains' });
    await world.applied();
    process.kill(old, 'SIGSTOP');
    await waitFor(async () => (await status()).silent?.includes(`pid ${old}`) === true, {
      what: 'the status names the relay that hangs',
      timeoutMs: 50_000,
      intervalMs: 500,
    });
    const before = await status();
    for (let n = 0; n < 3; n++)
      for (const port of [10080, 10022])
        expect(await world.ask('client', `192.168.1.10:${port}`)).toMatchObject({ local: '192.168.2.122:10022' });
    await counted({ web: before.flows('web') + 3, ssh: before.flows('ssh') + 3 });
    await long.stop();
  }, 240_000);

  it('is ended by a clean-up, which says so, with all else', async () => {
    await world.agent.kill('SIGTERM');
    const { stderr } = await world.agent.command(['cleanup']);
    expect(stderr).toContain(`the relay with pid ${old} was killed: the relay did not answer within 5 s`);
    expect(stderr).toContain('everything of gwctl is gone from this host');
    expect(relays()).toEqual([]);
    expect(readdirSync(join(world.agent.stateDir, 'run')).filter((f) => f.startsWith('relay'))).toEqual([]);
    expect(await world.ask('client', '192.168.1.10:10080')).toBe('refused');
    await world.agent.start();
    await world.reaches('client', '192.168.1.10:10080');
    await world.reaches('client', '192.168.1.10:10022');
  }, 60_000);
});

it('two relayed forwards whose targets are each the other: the gateway refuses one, naming the other, and carries the rest', async () => {
  const announced = ['--driver', 'relay', '--announce'];
  await world.add('ping', '192.168.1.50:7000', '192.168.1.51:7001', ...announced);
  await world.add('pong', '192.168.1.51:7001', '192.168.1.50:7000', ...announced);
  await world.applied();
  const states = await Promise.all(['ping', 'pong'].map((name) => world.forwardState(name)));
  expect([...states].sort()).toEqual(['ACTIVE', 'REJECTED']);
  const [refused, other] = states[0] === 'REJECTED' ? ['ping', 'pong'] : ['pong', 'ping'];
  const { stdout } = await world.gwctl(['forward', 'get', refused]);
  expect(stdout).toContain(`by way of forward ${other}`);
  // Whoever connects is told that nobody is there, and nothing goes round.
  const gone = await world.ask('client', other === 'ping' ? '192.168.1.50:7000' : '192.168.1.51:7001');
  expect(typeof gone).toBe('string');
  await world.reaches('client', '192.168.1.10:10022');
  await world.gwctl(['forward', 'delete', other]);
  await waitFor(async () => (await world.forwardState(refused)) === 'ACTIVE', { what: `${refused} may be carried now` });
}, 60_000);

/** A copy of the agent's program whose relay is of another build. @returns its path */
function newerProgram(): string {
  const dir = join(world.dir, 'newer');
  const agent = join(dir, 'apps/agent');
  mkdirSync(join(dir, 'bin'), { recursive: true });
  cpSync(join(checkout, 'bin/gwctl-agent'), join(dir, 'bin/gwctl-agent'));
  cpSync(join(checkout, 'apps/agent/dist'), join(agent, 'dist'), { recursive: true });
  cpSync(join(checkout, 'apps/agent/package.json'), join(agent, 'package.json'));
  symlinkSync(join(checkout, 'apps/agent/node_modules'), join(agent, 'node_modules'));
  symlinkSync(join(checkout, '.toolchain'), join(dir, '.toolchain'));
  appendFileSync(join(agent, 'dist/relay/supervisor.js'), '// Newer.\n');
  return join(dir, 'bin/gwctl-agent');
}
