import { AppError } from '@gwctl/shared/errors/app-error';
import { beforeEach, describe, expect, it } from 'vitest';
import { COMPANION } from '../../filters/filters.js';
import { placed } from '../../testing/placed.js';
import { established, MemoryHost, uid } from './testing.js';

const { key } = placed();
const { key: second } = placed({ uid: uid(2) });

let host: MemoryHost;
beforeEach(() => {
  host = new MemoryHost();
});

describe('apply', () => {
  it('is one transaction for each reconcile, and leaves nothing', async () => {
    await host.reconcile([placed({ allow: ['198.51.100.0/26'] }), placed({ uid: uid(2), port: 444 })]);
    expect(host.nft.committed).toHaveLength(1);
    await host.reconcile([]);
    expect(host.nft.committed).toHaveLength(2);
    expect(host.nft.tables()).toEqual([]);
  });

  it('writes only the elements of a second forward, and lists nothing', async () => {
    await host.reconcile([placed()]);
    const { reads } = host.nft;
    await host.reconcile([placed(), placed({ uid: uid(2), port: 444 })]);
    expect(host.nft.reads).toBe(reads);
    expect(host.nft.committed.at(-1)).toEqual([
      'add element ip gwctl listen-at { 203.0.113.10 . tcp . 444 }',
      `add element ip gwctl to-at { 203.0.113.10 . tcp . 444 comment "${second}:drain" : 10.0.0.10 . 8443 }`,
      `add element ip gwctl own-at { 203.0.113.10 . tcp . 444 . 10.0.0.10 . 8443 comment "${second}" }`,
      'add element ip gwctl masq-at { 203.0.113.10 . tcp . 444 . 10.0.0.10 . 8443 }',
    ]);
  });

  it('does nothing, and asks nobody, when nothing changed', async () => {
    await host.reconcile([placed()]);
    const { reads, committed } = host.nft;
    expect((await host.reconcile([placed()])).plan.steps).toEqual([]);
    expect([host.nft.reads, host.nft.committed.length]).toEqual([reads, committed.length]);
  });

  it('reads everything back where somebody else changed something meanwhile, or nobody counts', async () => {
    await host.reconcile([placed()]);
    host.nft.meddle('add table ip other');
    const { reads } = host.nft;
    await host.reconcile([placed(), placed({ uid: uid(2), port: 444 })]);
    expect(host.nft.reads).toBe(reads + 1);
    host.nft.counting = false;
    await host.driver.observe();
    await host.reconcile([placed()]);
    expect(host.nft.reads).toBe(reads + 3);
  });

  it('says so when what is there is not what was written', async () => {
    await host.reconcile([placed()]);
    host.nft.meddle('delete element ip gwctl to-at { 203.0.113.10 . tcp . 443 }');
    await expect(host.reconcile([placed(), placed({ uid: uid(2), port: 444 })])).rejects.toMatchObject({
      reason: 'NOT_AS_WRITTEN',
    });
    expect(host.driver.mirror()).toBeUndefined();
    await host.reconcile([placed(), placed({ uid: uid(2), port: 444 })]);
    expect(host.nft.elements('to-at')).toHaveLength(2);
  });

  it('leaves no mirror after a failure, and nothing changed', async () => {
    host.nft.failOnce(new AppError({ code: 'INTERNAL', reason: 'COMMAND_FAILED', message: 'no' }));
    await expect(host.reconcile([placed()])).rejects.toMatchObject({ reason: 'COMMAND_FAILED' });
    expect(host.driver.mirror()).toBeUndefined();
    expect(host.nft.tables()).toEqual([]);
    await host.reconcile([placed()]);
  });

  it('changes an element that is there by taking it away in the same transaction', async () => {
    await host.reconcile([placed()]);
    await host.reconcile([placed({ target: '10.0.0.20', onChange: 'cut' })]);
    expect(host.nft.elements('to-at')).toEqual([`203.0.113.10 . tcp . 443 comment "${key}:cut" : 10.0.0.20 . 8443`]);
    expect(host.nft.elements('own-at')).toEqual([`203.0.113.10 . tcp . 443 . 10.0.0.20 . 8443 comment "${key}"`]);
  });

  it('refuses a table of a newer layout, but cleans it up', async () => {
    await host.reconcile([placed()]);
    host.nft.meddle('flush chain ip gwctl state', 'add rule ip gwctl state return comment "gwctl/99"');
    await expect(host.driver.observe()).rejects.toMatchObject({ reason: 'LAYOUT_NEWER' });
    await host.driver.cleanUp();
    expect(host.nft.tables()).toEqual([]);
  });
});

describe('forwarding', () => {
  it('is turned on after the rules that close it to others, and back before they go', async () => {
    host.sysctl.values.set('net.ipv4.ip_forward', '0');
    const { plan } = await host.reconcile([placed()]);
    expect(plan.steps.map((s) => s.kind)).toEqual(['rebuild', 'verify', 'ip-forward']);
    expect(host.driver.mirror()?.tables[4]?.closed).toBe(true);
    expect(host.sysctl.values.get('net.ipv4.ip_forward')).toBe('1');
    const mirror = host.driver.mirror() ?? (await host.driver.observe());
    expect(host.driver.conditions(mirror)[0]).toMatchObject({ reason: 'TURNED_ON_BY_AGENT' });
    const left = await host.reconcile([]);
    expect(left.plan.steps.map((s) => s.kind).slice(0, 2)).toEqual(['look-for-flows', 'ip-forward']);
    expect(host.sysctl.values.get('net.ipv4.ip_forward')).toBe('0');
    expect(host.nft.tables()).toEqual([]);
  });

  it('is left alone, and open to others, where the host forwards already', async () => {
    await host.reconcile([placed()]);
    expect(host.driver.mirror()?.tables[4]?.closed).toBe(false);
    await host.reconcile([]);
    expect(host.sysctl.values.get('net.ipv4.ip_forward')).toBe('1');
  });

  it('turned off by somebody is drift, and repaired', async () => {
    const { rendered } = await host.reconcile([placed()]);
    host.sysctl.values.set('net.ipv4.ip_forward', '0');
    const found = host.driver.drift(rendered, await host.driver.observe());
    expect(found.map((f) => [f.drift.cause, f.drift.object])).toEqual([['sysctl', 'sysctl/net.ipv4.ip_forward']]);
    await host.reconcile([placed()]);
    expect(host.sysctl.values.get('net.ipv4.ip_forward')).toBe('1');
  });
});

describe('filters of others', () => {
  it('get our rule first where they drop, until the last forward goes', async () => {
    host.filters.forward.set('nft', { policy: 'DROP', rules: ['-j ufw'] });
    host.filters.forward.set('legacy', { policy: 'ACCEPT', rules: [] });
    await host.reconcile([placed()]);
    expect(host.filters.forward.get('nft')?.rules).toEqual([COMPANION, '-j ufw']);
    expect(host.filters.forward.get('legacy')?.rules).toEqual([]);
    expect((await host.reconcile([placed()])).plan.steps).toEqual([]);
    await host.reconcile([]);
    expect(host.filters.forward.get('nft')?.rules).toEqual(['-j ufw']);
  });

  it('that drop before our rule, or lost it, are drift and put right', async () => {
    host.filters.forward.set('legacy', { policy: 'DROP', rules: [] });
    const { rendered } = await host.reconcile([placed()]);
    for (const [rules, cause] of [
      [[], 'missing'],
      [['-p tcp -j DROP', COMPANION], 'shadowed'],
      [[COMPANION, COMPANION], 'foreign'],
    ] as const) {
      host.filters.forward.set('legacy', { policy: 'DROP', rules: [...rules] });
      const found = host.driver.drift(rendered, await host.driver.observe());
      expect(found.map((f) => [f.drift.cause, f.drift.object])).toEqual([[cause, 'iptables-legacy filter/FORWARD']]);
      await host.reconcile([placed()]);
      expect(host.filters.forward.get('legacy')?.rules[0]).toBe(COMPANION);
      expect(host.driver.drift(rendered, await host.driver.observe())).toEqual([]);
    }
  });

  it('that no rule of ours can pass are a condition with a rule to paste', async () => {
    host.filters.native = [
      { table: 'inet fw', chain: 'guard', priority: 0 },
      { table: 'ip late', chain: 'guard', priority: 20 },
    ];
    expect(host.driver.conditions(await host.driver.observe())[2]).toMatchObject({
      type: 'ForwardOpen',
      status: 'false',
      reason: 'FORWARD_BLOCKED',
      message: expect.stringContaining(
        'nft insert rule inet fw guard meta mark and 0x1000000 == 0x1000000 accept; nft insert rule ip late guard ct status dnat accept',
      ),
    });
  });
});

describe('flows that live on a removed forward', () => {
  it('keep their way, and only that', async () => {
    await host.reconcile([placed(), placed({ uid: uid(2), port: 444 })]);
    host.flows.flows = [established()];
    await host.reconcile([placed({ uid: uid(2), port: 444 })]);
    expect(host.nft.elements('own-at')).toEqual([
      `203.0.113.10 . tcp . 443 . 10.0.0.10 . 8443 comment "${key}"`,
      `203.0.113.10 . tcp . 444 . 10.0.0.10 . 8443 comment "${second}"`,
    ]);
    expect(host.nft.elements('to-at')).toHaveLength(1);
    host.flows.flows = [established({ state: 'TIME_WAIT' })];
    await host.reconcile([placed({ uid: uid(2), port: 444 })]);
    expect(host.nft.elements('own-at')).toEqual([`203.0.113.10 . tcp . 444 . 10.0.0.10 . 8443 comment "${second}"`]);
    expect((await host.reconcile([placed({ uid: uid(2), port: 444 })])).plan.steps).toEqual([]);
  });

  it('keep the table, our rule and forwarding after the last one', async () => {
    host.filters.forward.set('nft', { policy: 'DROP', rules: [] });
    host.sysctl.values.set('net.ipv4.ip_forward', '0');
    await host.reconcile([placed()]);
    host.flows.flows = [established()];
    const { rendered } = await host.reconcile([]);
    expect(host.nft.tables()).toEqual(['gwctl']);
    expect([...host.nft.elements('to-at'), ...host.nft.elements('listen-at'), ...host.nft.elements('protected-any')]).toEqual([]);
    expect(host.filters.forward.get('nft')?.rules).toEqual([COMPANION]);
    expect(host.sysctl.values.get('net.ipv4.ip_forward')).toBe('1');
    expect(host.driver.drift(rendered, await host.driver.observe())).toEqual([]);
    host.flows.flows = [];
    await host.reconcile([]);
    expect(host.nft.tables()).toEqual([]);
    expect(host.filters.forward.get('nft')?.rules).toEqual([]);
    expect(host.sysctl.values.get('net.ipv4.ip_forward')).toBe('0');
    expect((await host.reconcile([])).plan.steps).toEqual([]);
  });

  it('are taken along by a rebuild', async () => {
    await host.reconcile([placed(), placed({ uid: uid(2), port: 444 })]);
    host.flows.flows = [established()];
    await host.reconcile([placed({ uid: uid(2), port: 444 })]);
    host.nft.meddle('insert rule ip gwctl dispatch return');
    await host.driver.observe();
    await host.reconcile([placed({ uid: uid(2), port: 444 })]);
    expect(host.nft.elements('own-at')).toHaveLength(2);
  });

  it('keep nothing where they are cut', async () => {
    await host.reconcile([placed({ onChange: 'cut' })]);
    host.flows.flows = [established()];
    await host.reconcile([]);
    expect(host.flows.flows).toEqual([]);
    expect(host.nft.tables()).toEqual([]);
  });
});

describe('clean-up', () => {
  it('needs no memory and leaves what is not ours', async () => {
    host.nft.meddle('add table ip other');
    host.filters.forward.set('nft', { policy: 'DROP', rules: ['-j ufw'] });
    await host.reconcile([placed({ allow: ['10.9.0.0/16'], onChange: 'cut' })]);
    host.nft.meddle('add chain ip gwctl mine', 'add table ip gwctl-detect');
    host.flows.flows = [established()];
    await host.freshDriver().cleanUp();
    expect(host.nft.tables()).toEqual(['other']);
    expect(host.filters.forward.get('nft')?.rules).toEqual(['-j ufw']);
    expect(host.flows.flows).toEqual([]);
  });

  it('of a host without anything of ours changes nothing of others', async () => {
    host.nft.meddle('add table ip other');
    await host.driver.cleanUp();
    expect(host.nft.tables()).toEqual(['other']);
  });
});
