import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LinkEvent } from '../../system/address-watch.js';
import { cidr, ip } from '../../testing/placed.js';
import { announced, egress, MemoryHost, placed } from './testing.js';

const VIP = '192.168.100.3';
const withVip = { forwards: [placed()], announced: [announced(VIP)] };
const lan = { network: cidr('10.0.0.0/24'), target: ip('10.0.0.10') };
const redirects = (name: string) => `net.ipv4.conf.${name}.send_redirects`;

describe('virtual addresses', () => {
  it('come after the rules, announced, and go before them', async () => {
    const host = new MemoryHost();
    await host.reconcile(withVip);
    await host.reconcile();
    expect(host.addresses.log).toEqual(['rules k1', `add ${VIP} wan`, `announce ${VIP} wan`, `remove ${VIP} wan`, 'rules ']);
  });

  it('come before them where the relay is to listen on them', async () => {
    const host = new MemoryHost();
    await host.reconcile({ ...withVip, announced: [announced(VIP, { bound: true })] });
    expect(host.addresses.log).toEqual([`add ${VIP} wan`, `announce ${VIP} wan`, 'rules k1']);
  });

  it('are no step once they are there, in a fast and in a full pass', async () => {
    const host = new MemoryHost();
    expect((await host.reconcile(withVip)).titles).toEqual(['k1', `addresses: add and announce ${VIP} on wan`]);
    expect((await host.reconcile(withVip)).titles).toEqual([]);
    expect((await host.reconcile(withVip, 'full')).titles).toEqual([]);
    expect(host.conditions().AddressesAnnounced).toBe('ANNOUNCED');
  });

  it('move with their interface', async () => {
    const host = new MemoryHost();
    await host.reconcile(withVip);
    await host.reconcile({ ...withVip, announced: [announced(VIP, { interface: 'lan' })] });
    expect(host.addresses.log.slice(3)).toEqual([`remove ${VIP} wan`, `add ${VIP} lan`, `announce ${VIP} lan`]);
  });

  it('that the host has by itself are neither added nor taken away', async () => {
    const host = new MemoryHost();
    await host.reconcile({ ...withVip, announced: [announced('198.51.100.1')] });
    await host.reconcile();
    await host.driver.cleanUp();
    expect(host.addresses.log).toEqual(['rules k1', 'rules ', 'rules cleaned up']);
  });

  it('do not come where the rules did not', async () => {
    const host = new MemoryHost();
    host.inner.failure = new Error('no');
    await expect(host.reconcile(withVip)).rejects.toThrow('no');
    expect(host.addresses.log).toEqual([]);
    expect(host.driver.mirror()).toBeUndefined();
  });

  it('that were removed are drift of their forwards, and repaired', async () => {
    const host = new MemoryHost();
    const { rendered } = await host.reconcile(withVip);
    host.addresses.addresses = host.addresses.addresses.filter((a) => !a.ours);
    const found = host.driver.drift(rendered, await host.driver.observe());
    expect(found).toMatchObject([{ forwards: ['u1'], drift: { cause: 'missing', object: `address/${VIP}`, detected: 1000 } }]);
    await host.reconcile(withVip);
    expect(host.driver.drift(rendered, await host.driver.observe())).toEqual([]);
  });

  it('that cannot be had keep nothing else back, are told, and tried again only when all is read anew', async () => {
    const host = new MemoryHost();
    host.addresses.refused.set(VIP, 'not now');
    const { rendered } = await host.reconcile(withVip);
    expect((await host.reconcile(withVip)).titles).toEqual([]);
    expect(host.inner.rules).toEqual(['k1']);
    const observed = await host.driver.observe();
    expect(host.driver.findings(rendered, observed)).toMatchObject([
      { uid: 'u1', condition: { type: 'Announced', reason: 'ADDRESS_NOT_ADDED' } },
    ]);
    expect(host.driver.drift(rendered, observed)).toEqual([]);
    host.addresses.refused.clear();
    expect((await host.reconcile(withVip, 'full')).titles).toHaveLength(1);
    expect(host.conditions().AddressesAnnounced).toBe('ANNOUNCED');
  });

  it('are found by a driver without memory, and cleaned up', async () => {
    const host = new MemoryHost();
    await host.reconcile(withVip);
    host.driver = host.freshDriver();
    expect((await host.reconcile(withVip)).titles).toEqual([]);
    await host.freshDriver().cleanUp();
    expect(host.addresses.log.slice(3)).toEqual([`remove ${VIP} wan`, 'rules cleaned up']);
  });
});

describe('redirects', () => {
  it('are off where a target and its clients share a network, and on an egress’s way out; then as before', async () => {
    const host = new MemoryHost();
    host.sysctl.values.set(redirects('wan'), '0');
    await host.reconcile({ forwards: [placed({ hairpin: [lan] })], egresses: [egress()] });
    expect(Object.fromEntries(host.sysctl.values)).toEqual({
      [redirects('all')]: '0',
      [redirects('wan')]: '0',
      [redirects('lan')]: '0',
    });
    expect(host.inner.rules).toEqual(['k1']);
    await host.reconcile();
    expect(host.sysctl.values.get(redirects('all'))).toBe('1');
    expect(host.sysctl.values.get(redirects('wan'))).toBe('0');
    expect(host.sysctl.values.get(redirects('lan'))).toBe('1');
    expect(host.record.kept.size).toBe(0);
  });

  it('that somebody turned on are drift, and turned off again', async () => {
    const host = new MemoryHost();
    const desired = { forwards: [placed({ hairpin: [lan] })] };
    const { rendered } = await host.reconcile(desired);
    host.sysctl.values.set(redirects('lan'), '1');
    expect(host.driver.drift(rendered, await host.driver.observe())).toMatchObject([
      { forwards: [], drift: { cause: 'sysctl', object: `sysctl/${redirects('lan')}`, message: 'is 1; it was 0' } },
    ]);
    await host.reconcile(desired);
    expect(host.sysctl.values.get(redirects('lan'))).toBe('0');
    await host.driver.cleanUp();
    expect(host.sysctl.values.get(redirects('lan'))).toBe('1');
  });

  it('are nobody’s business without hairpin and egress', async () => {
    const host = new MemoryHost();
    await host.reconcile({ forwards: [placed()] });
    expect([...host.sysctl.values.values()]).toEqual(['1', '1', '1']);
  });
});

describe('the FTP helper', () => {
  const desired = { forwards: [placed({ ftp: { first: 21, last: 21 } })] };

  it('is loaded before the rules', async () => {
    const host = new MemoryHost();
    host.present.clear();
    expect((await host.reconcile(desired)).titles).toEqual(['kernel: load nf_conntrack_ftp and nf_nat_ftp', 'k1']);
    expect(host.conditions().FtpHelper).toBe('READY');
  });

  it('that cannot be loaded is told with what to do, and not tried with every change', async () => {
    const host = new MemoryHost();
    host.present.delete('nf_nat_ftp');
    host.modprobe = 'modprobe: FATAL: Module nf_nat_ftp not found';
    await host.reconcile(desired);
    await host.reconcile(desired);
    expect(host.loads).toBe(1);
    const observed = host.driver.mirror();
    const told = observed && host.driver.conditions(observed).find((c) => c.type === 'FtpHelper');
    expect(told).toMatchObject({ status: 'false', reason: 'MODULES_MISSING' });
    expect(told?.message).toMatch(/not found.*modprobe nf_nat_ftp/);
    await host.reconcile(desired, 'full');
    expect(host.loads).toBe(2);
  });

  it('is spoken of only where it is needed', async () => {
    const host = new MemoryHost();
    host.present.clear();
    await host.reconcile({ forwards: [placed()] });
    expect(host.conditions()).toEqual({ ConntrackRoom: 'ENOUGH' });
  });
});

describe('conditions', () => {
  it.each([
    [{ count: 91, max: 100 }, 'NEARLY_FULL'],
    [{ count: 90, max: 100, refused: 2 }, 'FLOWS_REFUSED'],
    [{ count: 90, max: 100, refused: 0 }, 'ENOUGH'],
    [undefined, undefined],
  ])('of connection tracking with %j: %s', async (room, reason) => {
    const host = new MemoryHost();
    host.room = room;
    await host.reconcile(withVip);
    expect(host.conditions().ConntrackRoom).toBe(reason);
  });

  it('name interfaces that do not forward', async () => {
    const host = new MemoryHost();
    host.notForwarding = ['net.ipv4.conf.wan.forwarding'];
    await host.reconcile(withVip);
    expect(host.conditions().InterfacesForward).toBe('INTERFACE_OFF');
  });

  it('name bridges whose frames meet rules, and what to set', async () => {
    const host = new MemoryHost();
    host.bridged = [{ setting: 'net.bridge.bridge-nf-call-iptables', bridges: ['br0', 'docker0'] }];
    await host.reconcile(withVip);
    const observed = host.driver.mirror();
    const told = observed && host.driver.conditions(observed).find((c) => c.type === 'BridgedTraffic');
    expect(told).toMatchObject({ status: 'false', reason: 'TRANSLATED' });
    expect(told?.message).toMatch(/passes over br0, docker0 .*Set net\.bridge\.bridge-nf-call-iptables to 0/);
  });
});

describe('watching', () => {
  const gone = (text: string): LinkEvent => ({ kind: 'address', gone: true, link: 2, address: ip(text) });
  const link = (running: boolean): LinkEvent => ({ kind: 'link', gone: false, link: 2, name: 'wan', running });

  it.each<[string, readonly LinkEvent[], number]>([
    ['a virtual address that is gone', [gone(VIP)], 1],
    ['another that is gone', [gone('10.9.9.9')], 0],
    ['its interface', [link(false)], 1],
    ['forwarding that was turned off', [{ kind: 'forwarding', family: 4, on: false }], 1],
    ['forwarding that was turned on', [{ kind: 'forwarding', family: 4, on: true }], 0],
    ['announcements that were lost', [], 1],
  ])('tells of %s', async (_, events, times) => {
    const host = new MemoryHost();
    let told = 0;
    const watch = host.driver.watch?.(() => told++);
    await host.reconcile(withVip);
    host.announce?.(events);
    expect(told).toBe(times);
    host.inner.onChange?.({});
    expect(told).toBe(times + 1);
    watch?.close();
    expect([host.announce, host.inner.watching]).toEqual([undefined, 0]);
  });

  it('announces again when the link is back', async () => {
    const host = new MemoryHost();
    host.driver.watch?.(() => undefined);
    await host.reconcile(withVip);
    for (const running of [true, true, false, true]) host.announce?.([link(running)]);
    expect(host.addresses.announced).toEqual([`${VIP} wan`, `${VIP} wan`]);
  });

  it('is not offered where the driver within cannot: whoever relies on it would miss changes of rules', () => {
    const host = new MemoryHost();
    Reflect.deleteProperty(host.inner, 'watch');
    const driver = host.freshDriver();
    expect(driver.watch).toBeUndefined();
    expect(driver.watchHost).toBeDefined();
  });
});

describe('render', () => {
  it('hands on the same needs where nothing of them changed', () => {
    const host = new MemoryHost();
    const first = host.driver.render(host.desired({ ...withVip, egresses: [egress()] }));
    const desired = { ...withVip, announced: [...withVip.announced], forwards: [placed(), placed()], egresses: [egress()] };
    expect(host.driver.render(host.desired(desired), first).needs).toBe(first.needs);
    expect(host.driver.render(host.desired({ ...desired, egresses: [] }), first).needs).not.toBe(first.needs);
  });

  it('of what changed comes to the same as of everything', () => {
    const { driver, desired } = new MemoryHost();
    const networks = ['10.0.0.0/24', '10.0.1.0/24', 'fd00::/64'].map(cidr);
    const forward = fc.record({ network: fc.nat(3), ftp: fc.boolean() }).map(({ network, ftp }) =>
      placed({
        family: network === 2 ? 6 : 4,
        hairpin: networks.slice(network, network + 1).map((n) => ({ network: n, target: ip('10.0.0.10') })),
        ...(ftp ? { ftp: { first: 21, last: 21 } } : {}),
      }),
    );
    const subset = fc.array(fc.nat(7));
    fc.assert(
      fc.property(fc.array(forward, { minLength: 8, maxLength: 8 }), subset, subset, (all, before, after) => {
        const pick = (which: readonly number[]) => desired({ forwards: which.flatMap((n) => all[n] ?? []) });
        const previous = driver.render(pick(before));
        const whole = driver.render(pick(after));
        const { needs, tally } = driver.render(pick(after), previous);
        expect(needs).toEqual(whole.needs);
        expect(tally.ftp).toBe(whole.tally.ftp);
        expect([...tally.hairpins].sort()).toEqual([...whole.tally.hairpins].sort());
      }),
    );
  });
});
