/** `gwctl-agent plan` says beforehand what would be done, changes nothing, and exactly that is then done. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../lab/index.js';
import { World } from './world.js';

const TARGET = '192.168.2.122:10022';

interface PrintedPlan {
  readonly driver: string;
  readonly steps: readonly { readonly kind: string; readonly title: string }[];
  readonly refused: readonly { readonly name: string; readonly reasons: readonly string[] }[];
}

describe.each(['nftables', 'iptables-nft', 'iptables-legacy'] as const)('gwctl-agent plan, %s', (driver) => {
  let world: World;

  beforeAll(async () => {
    world = await World.start({ name: `plan-${driver.replace('iptables-', '')}`, driver });
    await world.serve('gitbucket', TARGET);
  });
  afterAll(() => world?.stop());

  const host = () => world.lab.host('gw1');
  const plan = async (): Promise<PrintedPlan> =>
    JSON.parse((await world.agent.command(['plan', '--driver', driver, '-o', 'json'])).stdout);
  /** Everything that an agent can change. */
  const state = async () => {
    const say = async (argv: string[]) => (await host().exec(argv, { allowFailure: true })).stdout;
    const rules = await Promise.all([
      say(['nft', '--stateless', 'list', 'ruleset']),
      say(['iptables-legacy-save']),
      say(['ip', 'address']),
      say(['cat', '/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding']),
      say(['sh', '-c', `cd ${world.agent.stateDir} && find . -type f -not -name '*.sock' | sort | xargs sha256sum`]),
    ]);
    // Merely to try iptables-nft leaves its tables there, empty.
    return rules.map((text) => text.replaceAll(/\[\d+:\d+\]|^#.*$|^table \S+ \S+ \{\n\}\n/gm, ''));
  };

  it('prints the steps, touches nothing, and apply does exactly those', async () => {
    const add = (name: string, ...flags: string[]) =>
      world.gwctl(['forward', 'add', name, '--gateway', 'gw1', '--target', TARGET, ...flags]);
    await add('web', '--listen', '192.168.1.10:8080', '--wait');
    await add('guarded', '--listen', '192.168.1.10:8081', '--allow', '192.168.1.0/24', '--wait');
    await add('elsewhere', '--listen', '192.168.1.10:8082', '--interface', 'nosuch0');
    await world.agent.kill('SIGTERM');
    expect((await plan()).steps).toEqual([]);
    // As after a reboot: nothing of ours is there.
    await host().exec(['nft', 'flush', 'ruleset']);
    if (driver === 'iptables-legacy') await world.rules.wipe();
    const before = await state();
    const printed = await plan();
    expect(await state()).toEqual(before);
    expect(printed.driver).toBe(driver);
    expect(printed.steps.length).toBeGreaterThan(0);
    expect(printed.refused).toMatchObject([{ name: 'elsewhere', reasons: [expect.stringContaining('nosuch0')] }]);
    expect(await world.ask('client', '192.168.1.10:8080', { timeoutMs: 300 })).not.toMatchObject({ local: TARGET });

    await world.agent.start();
    await world.reaches('client', '192.168.1.10:8080');
    const applied = await waitFor(
      () =>
        world.agent.process.output
          .split('\n')
          .filter((line) => line.includes('"msg":"applied"'))
          .map((line) => JSON.parse(line) as { steps: string[] })[0],
      { what: 'the agent says what it applied' },
    );
    expect(applied.steps).toEqual(printed.steps.slice(0, 20).map((s) => s.title));
    expect((await plan()).steps).toEqual([]);
  });
});
