/** The relay's process: what flows through it outlives the agent and an upgrade of itself, and comes back by itself when it is killed. */
import { appendFileSync, chownSync, cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkout, program } from '../e2e/checkout.js';
import { World } from '../e2e/world.js';
import { ordinaryUserId } from '../lab/host.js';
import { type Prober, waitFor } from '../lab/index.js';
import { rootOnly } from '../lab/root-only.js';

const ROUNDS = process.env.GWCTL_LONG ? 50 : 5;
/** Milliseconds. A second is what is promised; the short form shares the machine with other tests. */
const LISTENING_AGAIN = process.env.GWCTL_LONG ? 1000 : 5000;
const LISTENER = { to: '192.168.1.10', port: 10022 };
let world: World;
let older: string;
let newer: string;

beforeAll(async () => {
  world = await World.start({ name: 'relayed', driver: 'relay' });
  // Copies, so that nothing but this test decides when there is another build.
  older = copyOfProgram('older');
  newer = copyOfProgram('newer');
  appendFileSync(join(world.dir, 'newer/apps/agent/dist/relay/supervisor.js'), '// Newer.\n');
  await world.agent.kill('SIGTERM');
  await world.agent.start({ program: older });
  await world.serve('gitbucket', '192.168.2.122:10022');
  await world.serve('gitbucket', '192.168.2.122:10053', 'udp');
  await world.add('ssh', '192.168.1.10:10022', '192.168.2.122:10022', '--wait');
  await world.add('dns', '192.168.1.10:10053/udp', '192.168.2.122:10053', '--udp-idle-timeout', '5s', '--wait');
  await world.add('extra', '192.168.1.10:10090', '192.168.2.122:10022', '--wait');
});
afterAll(() => world?.stop({ mayBeLeft: [/ relay --state-dir /] }));

/** The relays on the gateway, as processes. */
const relays = (): number[] =>
  world.lab
    .host('gw1')
    .runningProcesses()
    .filter((p) => / relay --state-dir .* --channel$/.test(p.command))
    .map((p) => p.pid);

const onlyRelay = (): number => {
  const [pid, ...more] = relays();
  if (pid === undefined || more.length > 0) throw new Error(`not one relay: ${relays().join(', ') || 'none'}`);
  return pid;
};

/** New connections, new UDP clients, and one of each that stays; all under way. */
async function load(): Promise<readonly Prober[]> {
  const client = world.lab.host('client');
  const udp = { to: LISTENER.to, port: 10053, proto: 'udp' } as const;
  const probers = [
    client.prober(LISTENER),
    client.prober({ ...LISTENER, kind: 'longFlow' }),
    client.prober({ ...udp, rate: 50 }),
    client.prober({ ...udp, kind: 'longFlow' }),
  ];
  for (const prober of probers) await prober.start().settled();
  return probers;
}

async function nothingLost(probers: readonly Prober[]): Promise<void> {
  const reports = await Promise.all(probers.map((p) => p.stop()));
  for (const report of reports) expect(report).toMatchObject({ lost: 0, refused: 0, broken: 0 });
  for (const long of [reports[1], reports[3]]) expect(long?.survived).toBe(true);
  expect(reports.every((r) => r.succeeded > 10)).toBe(true);
}

interface Status {
  readonly conditions: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason: string;
    readonly message: string;
  }[];
}

const condition = async (type: string) => {
  const { stdout } = await world.agent.command(['status', '-o', 'json']);
  return (JSON.parse(stdout) as Status).conditions.find((c) => c.type === type);
};

describe('the relay', () => {
  it(`goes on while the agent is killed ${ROUNDS} times: no connection cut, none refused`, async () => {
    const pid = onlyRelay();
    const probers = await load();
    const api = await world.api();
    for (let round = 0; round < ROUNDS; round++) {
      const name = `f${round}`;
      const change = api.createForward({
        name,
        gateway: 'gw1',
        listen: `192.168.1.10:${20_000 + round}`,
        target: '192.168.2.122:10022',
      });
      // At another moment of the change each time.
      await pause((round * 37) % 150);
      await world.agent.kill('SIGKILL');
      await change;
      await world.agent.start({ program: older });
      await world.applied();
      expect(await world.ask('client', `192.168.1.10:${20_000 + round}`), `round ${round}`).toMatchObject({
        local: '192.168.2.122:10022',
      });
      await api.call('ForwardService.DeleteForward', { name });
    }
    await nothingLost(probers);
    expect(onlyRelay()).toBe(pid);
  }, 300_000);

  it('is replaced by a newer build under load: no connection cut, none refused, and the old one ends with its last', async () => {
    const old = onlyRelay();
    const probers = await load();
    await world.agent.kill('SIGTERM');
    await world.agent.start({ program: newer });
    await waitFor(() => relays().some((pid) => pid !== old), { what: 'a new relay runs' });
    await waitFor(async () => (await condition('RelayRunning'))?.message.includes(`pid ${old} goes on`) === true, {
      what: 'the agent tells of the old one',
      timeoutMs: 20_000,
    });
    // The old one holds on to its connections and to no listener: what nobody wants any more is refused.
    await world.gwctl(['forward', 'delete', 'extra']);
    await world.applied();
    expect(await world.ask('client', '192.168.1.10:10090')).toBe('refused');
    expect(relays()).toContain(old);
    await nothingLost(probers);
    await waitFor(() => !relays().includes(old), { what: 'the old relay ended', timeoutMs: 90_000 });
    expect(relays().length).toBe(1);
  }, 180_000);

  it('that is killed listens again at once, and the status says what was lost', async () => {
    const pid = onlyRelay();
    const probers = await load();
    // Once a second the relay tells the agent how much is open, which the agent shows only when it is lost.
    await pause(2_000);
    process.kill(pid, 'SIGKILL');
    await waitFor(async () => (await condition('RelayUninterrupted'))?.message.includes('listened again') === true, {
      what: 'the status tells of it',
    });
    await world.reaches('client', '192.168.1.10:10022');
    await world.reaches('client', '192.168.1.10:10053', { proto: 'udp' });
    const [attempts, , udp] = await Promise.all(probers.map((p) => p.stop()));
    expect(attempts?.longestGapMs).toBeLessThan(LISTENING_AGAIN);
    expect(udp?.longestGapMs).toBeLessThan(LISTENING_AGAIN);
    const lost = await condition('RelayUninterrupted');
    expect(lost).toMatchObject({ status: 'false', reason: 'RELAY_DIED' });
    expect(lost?.message).toMatch(
      new RegExp(
        `\\(pid ${pid}\\) ended unexpectedly at .* \\d+ ms later: [1-9]\\d* TCP connections? and [1-9]\\d* UDP clients? were open`,
      ),
    );
    expect(onlyRelay()).not.toBe(pid);
    expect(await world.forwardState('ssh')).toBe('ACTIVE');
  });

  it('says of one forward that its port is taken, and serves the others', async () => {
    const gateway = world.lab.host('gw1');
    const server = await gateway.serve([{ proto: 'tcp', address: '192.168.1.10', port: 10_080 }]);
    await world.add('web', '192.168.1.10:10080', '192.168.2.122:10022');
    await world.applied();
    expect(await world.forwardState('web')).toBe('REJECTED');
    expect(await world.forwardState('ssh')).toBe('ACTIVE');
    await server.stop();
    await waitFor(async () => (await world.forwardState('web')) === 'ACTIVE', {
      what: 'it takes the port once it is free',
      timeoutMs: 20_000,
    });
    expect(await world.ask('client', '192.168.1.10:10080')).toMatchObject({ local: '192.168.2.122:10022' });
    await world.gwctl(['forward', 'delete', 'web']);
  });

  rootOnly('works for an agent without privileges', 'the state directory is given to another user', async () => {
    await world.agent.kill('SIGTERM');
    await world.agent.command(['cleanup', '--driver', 'relay']);
    give(world.agent.stateDir);
    const gateway = world.lab.host('gw1');
    const argv = [program('gwctl-agent'), 'run', '--state-dir', world.agent.stateDir, '--driver', 'relay'];
    const agent = await gateway.spawn(argv, { asOrdinaryUser: true });
    await world.reaches('client', '192.168.1.10:10022');
    agent.kill('SIGTERM');
    await agent.exited;
    expect(await world.ask('client', '192.168.1.10:10022')).toMatchObject({ local: '192.168.2.122:10022' });
  });

  it('is gone after a clean-up, with its sockets', async () => {
    if (world.agent.process.running) await world.agent.kill('SIGTERM');
    await world.agent.command(['cleanup', '--driver', 'relay']);
    await waitFor(() => relays().length === 0, { what: 'no relay runs' });
    expect(await world.ask('client', '192.168.1.10:10022')).toBe('refused');
    expect(readdirSync(join(world.agent.stateDir, 'run')).filter((f) => f.startsWith('relay'))).toEqual([]);
  });
});

/** A copy of the agent's program in the lab's directory. @returns its path */
function copyOfProgram(name: string): string {
  const dir = join(world.dir, name);
  const agent = join(dir, 'apps/agent');
  mkdirSync(join(dir, 'bin'), { recursive: true });
  cpSync(join(checkout, 'bin/gwctl-agent'), join(dir, 'bin/gwctl-agent'));
  cpSync(join(checkout, 'apps/agent/dist'), join(agent, 'dist'), { recursive: true });
  cpSync(join(checkout, 'apps/agent/package.json'), join(agent, 'package.json'));
  symlinkSync(join(checkout, 'apps/agent/node_modules'), join(agent, 'node_modules'));
  symlinkSync(join(checkout, '.toolchain'), join(dir, '.toolchain'));
  return join(dir, 'bin/gwctl-agent');
}

/** Makes a directory, with all that is in it, the ordinary user's. */
function give(path: string): void {
  chownSync(path, ordinaryUserId, ordinaryUserId);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) give(inside);
    else chownSync(inside, ordinaryUserId, ordinaryUserId);
  }
}
