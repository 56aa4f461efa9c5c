import { AppError } from '@gwctl/shared/errors/app-error';
import { beforeEach, describe, expect, it } from 'vitest';
import { COMPANION } from '../../filters/filters.js';
import { placed } from '../../testing/placed.js';
import { setOf } from './sets.js';
import { egress, established, MemoryHost, placedAs, SSH, six, target, uid } from './testing.js';

const four = placed();
const { key } = four;
const sixth = six(placed({ uid: uid(6), port: 446 }));

let host: MemoryHost;
beforeEach(() => {
  host = new MemoryHost();
});

describe('the two families', () => {
  it('change in one transaction, each with a table of its own', async () => {
    await host.reconcile([four, sixth]);
    expect(host.nft.committed).toHaveLength(1);
    expect(host.nft.tables()).toEqual(['gwctl', 'ip6 gwctl']);
    await host.reconcile([four]);
    expect(host.nft.committed).toHaveLength(2);
    expect(host.nft.tables()).toEqual(['gwctl']);
  });

  it('are forwarded, and closed to others, each by itself', async () => {
    Object.assign(host.six, { on: false });
    await host.reconcile([four, sixth]);
    expect(host.six).toEqual({ on: true, ours: true });
    const tables = host.driver.mirror()?.tables;
    expect([tables?.[4]?.closed, tables?.[6]?.closed]).toEqual([false, true]);
    await host.reconcile([four]);
    expect(host.six).toEqual({ on: false, ours: false });
  });

  it('turned off by somebody is drift, of IPv6 only where it is forwarded', async () => {
    const { rendered } = await host.reconcile([four, sixth]);
    Object.assign(host.six, { on: false });
    const found = host.driver.drift(rendered, await host.driver.observe());
    expect(found.map((f) => f.drift.object)).toEqual(['sysctl/net.ipv6.conf.all.forwarding']);
    const alone = (await host.reconcile([four])).rendered;
    Object.assign(host.six, { on: false });
    expect(host.driver.drift(alone, await host.driver.observe())).toEqual([]);
  });

  it('get our rule where each is dropped', async () => {
    host.filters.forward6.set('nft', { policy: 'DROP', rules: ['-j ufw6'] });
    await host.reconcile([four]);
    expect(host.filters.forward6.get('nft')?.rules).toEqual(['-j ufw6']);
    await host.reconcile([four, sixth]);
    expect(host.filters.forward6.get('nft')?.rules).toEqual([COMPANION, '-j ufw6']);
    host.flows.flows = [established()];
    await host.reconcile([four]);
    expect(host.filters.forward6.get('nft')?.rules).toEqual(['-j ufw6']);
  });

  it('without IPv6, IPv4 works and says so', async () => {
    host.nft.abilities = { ftp: false, ipv6: false, troubles: ['without IPv6: no'] };
    expect(await host.driver.detect()).toMatchObject({ supported: true, detail: expect.stringContaining('without IPv6: no') });
    expect(host.driver.capabilities).toMatchObject({ families: [4], ftp: false, egress: true });
    await host.reconcile([four]);
    expect(host.nft.tables()).toEqual(['gwctl']);
    expect(host.nft.committed.flat().join('\n')).not.toMatch(/ip6|helper/);
  });

  it('a failure of one changes neither', async () => {
    await host.reconcile([four]);
    host.nft.failOnce(new AppError({ code: 'INTERNAL', reason: 'COMMAND_FAILED', message: 'no' }));
    await expect(host.reconcile([placed({ target: '10.0.0.20' }), sixth])).rejects.toMatchObject({ reason: 'COMMAND_FAILED' });
    expect(host.nft.tables()).toEqual(['gwctl']);
  });
});

describe('several targets', () => {
  const pool = (...texts: string[]) => placedAs({}, { targets: texts.map(target) });
  const A = '10.0.0.31:80';
  const [B, C] = ['10.0.0.32:80', '10.0.0.33:80'];

  it('have a chain, which is emptied when it goes, and deleted a second later at least', async () => {
    await host.reconcile([pool(A, B)]);
    expect(Object.keys(host.nft.pools())).toEqual([`pool/${key}`]);
    await host.reconcile([pool(A)]);
    expect(host.nft.pools()).toEqual({ [`pool/${key}`]: [] });
    expect((await host.reconcile([pool(A)])).plan.steps).toEqual([]);
    expect((await host.freshDriver().observe()).tables[4]?.defects).toEqual([]);
    host.now += 500;
    await host.reconcile([pool(A), placed({ uid: uid(2), port: 444 })]);
    expect(host.nft.pools()).toEqual({ [`pool/${key}`]: [] });
    host.now += 500;
    await host.reconcile([pool(A), placed({ uid: uid(2), port: 445 })]);
    expect(host.nft.pools()).toEqual({});
  });

  it('wanted again before it was deleted, is filled again', async () => {
    await host.reconcile([pool(A, B)]);
    await host.reconcile([pool(A)]);
    host.now += 2000;
    await host.reconcile([pool(A, C)]);
    expect(host.nft.pools()[`pool/${key}`]?.[0]).toContain('10.0.0.33 . 80');
    expect((await host.reconcile([pool(A, C)])).plan.steps).toEqual([]);
  });

  it('changed by somebody, are drift with the forward concerned, and put right', async () => {
    const { rendered } = await host.reconcile([pool(A, B)]);
    host.nft.meddle(`add rule ip gwctl pool/${key} accept`);
    const found = host.driver.drift(rendered, await host.driver.observe());
    expect(found.map((f) => [f.drift.cause, f.drift.object, f.forwards])).toEqual([['altered', 'gwctl/pool-chains', [uid(1)]]]);
    await host.reconcile([pool(A, B)]);
    expect(host.driver.drift(rendered, await host.driver.observe())).toEqual([]);
  });

  const match = (address: string, protocol = 'tcp') => ({
    protocol,
    address: '203.0.113.10',
    port: 443,
    to: { address, port: 80 },
  });
  const udp = { listen: { ...four.listen, protocol: 'udp' as const } };
  const gone: [string, Parameters<typeof placedAs>, unknown[]][] = [
    ['drain', [{}, {}], []],
    ['cut', [{ onChange: 'cut' }, {}], [match('10.0.0.32')]],
    ['keep', [{ onChange: 'keep' }, {}], []],
    ['UDP, drain', [{}, udp], [match('10.0.0.32', 'udp')]],
    ['UDP, keep', [{ onChange: 'keep' }, udp], []],
    ['drain, found down', [{}, { down: [target(B)] }], [match('10.0.0.32')]],
    ['keep, found down', [{ onChange: 'keep' }, { down: [target(B)] }], []],
  ];
  it.each(gone)('one that goes: only its flows are looked at; %s', async (_, [options, over], expected) => {
    const { down: _down, ...rest } = over;
    await host.reconcile([placedAs(options, { ...rest, targets: [target(A), target(B), target(C)] })]);
    host.flows.asked.length = 0;
    await host.reconcile([placedAs(options, { ...over, targets: [target(A), target(C)] })]);
    expect(host.flows.asked).toEqual(expected);
  });

  it('of a range that loses ports: only what went to these', async () => {
    const range = (last: number) =>
      placedAs(
        { onChange: 'cut' },
        { listen: { ...four.listen, ports: { first: 5000, last } }, targets: [target('10.0.0.20:7000')] },
      );
    await host.reconcile([range(5009)]);
    host.flows.asked.length = 0;
    await host.reconcile([range(5004)]);
    expect(host.flows.asked).toEqual([
      {
        protocol: 'tcp',
        address: '203.0.113.10',
        ports: { first: 5005, last: 5009 },
        to: { address: '10.0.0.20', ports: { first: 7005, last: 7009 } },
      },
    ]);
  });
});

describe('egress', () => {
  it('alone makes a table, and leaves none', async () => {
    await host.reconcile([], [SSH], { egresses: [egress()] });
    expect(host.nft.elements('egress-masq')).toEqual(['"wan" . 10.0.0.0/24 comment "e0000001"']);
    await host.reconcile([], [SSH], { egresses: [] });
    expect(host.nft.tables()).toEqual([]);
  });
});

describe('counters', () => {
  it('add up by key, of all elements of a forward', async () => {
    await host.reconcile([four]);
    const count = (comment: string, packets: number) => ({ comment, packets, bytes: packets * 100 });
    host.nft.counts.set(setOf(4, 'own-at'), [count(key, 10), count('e0000001', 1), count(key, 5)]);
    host.nft.counts.set(setOf(4, 'to-at'), [count(`${key}:drain`, 3)]);
    host.nft.counts.set(setOf(4, 'refused-at'), [count(key, 2)]);
    expect(Object.fromEntries(await host.driver.counters())).toEqual({
      [key]: { packets: 15, bytes: 1500, flows: 3, refused: 2 },
      e0000001: { packets: 1, bytes: 100, flows: 0, refused: 0 },
    });
  });
});
