import { describe, expect, it } from 'vitest';
import { FakeExec } from '../system/exec.fake.js';
import { chooseDriver, countUse, orderVariants, type VariantUse } from './choose.js';
import { parseSave } from './iptables/save-format.js';

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
  const choose = (preference: 'auto' | 'relay', exec: FakeExec) =>
    chooseDriver({ preference, exec, links, stateDir: '/nonexistent', now: () => 0, monotonic: () => 0 });

  it('says that the relay is not there yet', async () => {
    const exec = new FakeExec({ answer: () => undefined });
    await expect(choose('relay', exec)).rejects.toMatchObject({ code: 'UNIMPLEMENTED', reason: 'DRIVER_NOT_AVAILABLE' });
    expect(exec.commands).toEqual([]);
  });

  it('names the package where nothing is installed', async () => {
    await expect(choose('auto', new FakeExec({ answer: () => undefined }))).rejects.toMatchObject({
      reason: 'NO_DRIVER',
      message: expect.stringContaining('install the Debian package iptables'),
    });
  });
});
