import { describe, expect, it } from 'vitest';
import { FakeExec } from '../system/exec.fake.js';
import { chooseDriver, orderVariants } from './choose.js';
import { parseSave } from './iptables/save-format.js';
import { countUse, type VariantUse } from './parts.js';
import type { RelayDriver } from './relay/driver.js';

const use = (variant: 'nft' | 'legacy', foreign: number, ours = 0): VariantUse => ({ variant, foreign, ours });

describe('orderVariants', () => {
  it.each([
    ['nobody uses either: what iptables is', use('nft', 0), use('legacy', 0), 'legacy', 'legacy'],
    ['nobody, but ours are in one', use('nft', 0, 3), use('legacy', 0), 'legacy', 'nft'],
    ['others use nft', use('nft', 5), use('legacy', 0, 9), 'legacy', 'nft'],
    ['others use legacy', use('nft', 0, 9), use('legacy', 1), 'nft', 'legacy'],
    ['both, legacy more', use('nft', 5), use('legacy', 6), 'nft', 'legacy'],
    ['both alike', use('nft', 5), use('legacy', 5), 'legacy', 'nft'],
  ] as const)('%s', (_, nft, legacy, byDefault, first) => {
    expect(orderVariants(nft, legacy, byDefault)[0]).toBe(first);
  });
});

it('countUse tells ours from theirs', () => {
  const saved = parseSave(
    '*filter\n:FORWARD ACCEPT [0:0]\n:GWCTL-FWD - [0:0]\n-A FORWARD -m comment --comment "gwctl:hook" -j GWCTL-FWD\n-A FORWARD -j DROP\n-A GWCTL-FWD -j ACCEPT\nCOMMIT\n',
    [],
  );
  expect(countUse(saved)).toEqual({ foreign: 1, ours: 1 });
});

describe('chooseDriver', () => {
  const links = async () => ({ addresses: [], interfaces: [] });
  const said: string[] = [];
  const log = { warn: (_: unknown, message: string) => void said.push(message) } as never;
  const choose = (preference: 'auto' | 'relay' | 'nftables', exec: FakeExec, relay?: RelayDriver) =>
    chooseDriver({
      preference,
      exec,
      links,
      stateDir: '/nonexistent',
      now: () => 0,
      monotonic: () => 0,
      log,
      ...(relay ? { relay } : {}),
    });
  const relay = (supported: boolean) =>
    ({
      name: 'relay',
      capabilities: { families: [4, 6], targets: 64, announce: false },
      detect: async () => ({ supported, detail: supported ? 'the native engine works' : 'no engine works' }),
      processes: async () => new Set([7]),
    }) as unknown as RelayDriver;
  const nothing = () => new FakeExec({ answer: () => undefined });

  it('names the package where nothing is installed', async () => {
    await expect(choose('auto', nothing())).rejects.toMatchObject({
      reason: 'NO_DRIVER',
      message: expect.stringContaining('install the Debian package iptables'),
    });
  });

  it('is the relay alone where no kernel driver works, and says so', async () => {
    const chosen = await choose('auto', nothing(), relay(true));
    expect(chosen.driver.name).toBe('relay');
    expect(chosen.carriers).toMatchObject({ relay: { families: [4, 6] }, without: expect.stringContaining('nftables: ') });
    expect(chosen.carriers.kernel).toBeUndefined();
    expect(chosen.capabilities.map(({ name, supported }) => [name, supported])).toEqual([
      ['driver.nftables', false],
      ['driver.iptables-nft', false],
      ['driver.iptables-legacy', false],
      ['driver.relay', true],
    ]);
    expect(said.splice(0)).toEqual(['forwards are carried by the relay alone']);
    expect(await chosen.ownProcesses?.()).toEqual(new Set([7]));
  });

  it('asks nobody about rules where only the relay is wanted', async () => {
    const exec = nothing();
    expect((await choose('relay', exec, relay(true))).driver.name).toBe('relay');
    expect(exec.commands).toEqual([]);
    await expect(choose('relay', nothing(), relay(false))).rejects.toMatchObject({
      reason: 'NO_DRIVER',
      message: expect.stringContaining('no engine works'),
    });
  });

  it('takes nothing else in place of a kernel driver that was asked for', async () => {
    await expect(choose('nftables', nothing(), relay(true))).rejects.toMatchObject({ reason: 'NO_DRIVER' });
  });
});
