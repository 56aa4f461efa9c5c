import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConntrackRoomReader, RECENT_MS } from './conntrack-room.js';
import { FakeExec } from './exec.fake.js';
import { exceptions } from './interface-forwarding.js';
import { IpForwarding } from './ip-forwarding.js';
import { HostKernelModules } from './kernel-modules.js';
import { MemorySysctl, MemorySysctlRecord } from './sysctl.fake.js';
import { FileSysctlRecord, parseKept } from './sysctl.js';
import { interfaceKey } from './sysctl-keys.js';
import { SysctlPins } from './sysctl-pins.js';

describe('forwarding of IPv6', () => {
  const host = () =>
    new MemorySysctl({
      'net.ipv6.conf.all.forwarding': '0',
      'net.ipv6.conf.eth0.forwarding': '0',
      'net.ipv6.conf.eth0.accept_ra': '1',
      'net.ipv6.conf.eth1.forwarding': '1',
      'net.ipv6.conf.eth1.accept_ra': '1',
      'net.ipv6.conf.eth2/7.forwarding': '0',
      'net.ipv6.conf.eth2/7.accept_ra': '0',
    });
  const interfaces = async () => ['all', 'default', 'lo', 'eth0', 'eth1', 'eth2.7', 'gone'];

  it('keeps the default route of hosts that take it from router advertisements, and goes back entirely', async () => {
    const sysctl = host();
    const before = new Map(sysctl.values);
    const record = new MemorySysctlRecord();
    const order: string[] = [];
    const watched = {
      read: (key: string) => sysctl.read(key),
      write: (key: string, value: string) => {
        order.push(`${key}=${value}`);
        return sysctl.write(key, value);
      },
    };
    const forwarding = new IpForwarding({ sysctl: watched, record, family: 6, interfaces });
    await forwarding.turnOn();
    expect(order).toEqual(['net.ipv6.conf.eth0.accept_ra=2', 'net.ipv6.conf.all.forwarding=1']);
    expect(await forwarding.read()).toEqual({ on: true, ours: true });
    await new IpForwarding({ sysctl: watched, record, family: 6, interfaces }).restore();
    expect(sysctl.values).toEqual(before);
    expect(order.slice(2)).toEqual([
      'net.ipv6.conf.all.forwarding=0',
      'net.ipv6.conf.eth0.accept_ra=1',
      'net.ipv6.conf.eth1.forwarding=1',
    ]);
    expect(record.kept.size).toBe(0);
  });

  it('touches nothing where it is on', async () => {
    const sysctl = host();
    sysctl.values.set('net.ipv6.conf.all.forwarding', '1');
    const record = new MemorySysctlRecord();
    await new IpForwarding({ sysctl, record, family: 6, interfaces }).turnOn();
    expect(record.kept.size).toBe(0);
    expect(sysctl.values.get('net.ipv6.conf.eth0.accept_ra')).toBe('1');
  });
});

describe('parameters held at a value', () => {
  const all = interfaceKey(4, 'all', 'send_redirects');
  const vlan = interfaceKey(4, 'eth0.100', 'send_redirects');

  it('go back to what they were, and only those that we changed', async () => {
    const sysctl = new MemorySysctl({ [all]: '1', [vlan]: '0' });
    const record = new MemorySysctlRecord();
    const pins = new SysctlPins({ sysctl, record });
    for (const key of [all, vlan, interfaceKey(4, 'gone', 'send_redirects')]) await pins.pin(key);
    expect(await pins.read([vlan, 'net.ipv4.conf.gone.send_redirects'])).toEqual({
      values: new Map([
        [vlan, '0'],
        [all, '0'],
      ]),
      held: new Set([all]),
    });
    await new SysctlPins({ sysctl, record }).restore(all);
    expect(Object.fromEntries(sysctl.values)).toEqual({ [all]: '1', [vlan]: '0' });
    expect(record.kept.size).toBe(0);
  });

  it('are forgotten with their interface', async () => {
    const sysctl = new MemorySysctl({ [vlan]: '1' });
    const record = new MemorySysctlRecord();
    const pins = new SysctlPins({ sysctl, record });
    await pins.pin(vlan);
    sysctl.values.clear();
    await pins.restore(vlan);
    expect(record.kept.size).toBe(0);
  });

  it('are held only where we changed them since the host started', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'gwctl-pins-'));
    const sysctl = new MemorySysctl({ [all]: '1' });
    const pins = (boot: string) =>
      new SysctlPins({ sysctl, record: new FileSysctlRecord({ file: join(dir, 'sysctl.json'), bootId: async () => boot }) });
    await pins('one').pin(all);
    expect((await pins('one').read([])).held).toEqual(new Set([all]));
    expect((await pins('two').read([])).held).toEqual(new Set());
    await rm(dir, { recursive: true });
  });

  it('are read back from disk by names that interfaces may have, and by no path out of /proc/sys', () => {
    const kept = (key: string) => parseKept(JSON.stringify({ [key]: { before: '1', boot: 'b' } })).ok;
    expect(['net.ipv4.ip_forward', vlan, 'net.ipv4.conf.br-A_1:x.send_redirects'].map(kept)).toEqual([true, true, true]);
    expect(['kernel.panic', 'net.ipv4.//.x', 'net.ipv4.a b.x', 'net..x'].map(kept)).toEqual([false, false, false, false]);
  });
});

describe('interfaces that do not forward although all do', () => {
  const names = new Map([
    [1, 'lo'],
    [2, 'eth0'],
    [3, 'eth1'],
  ]);
  const each = [1, 2, 3].map((link) => ({ family: 4 as const, link, on: link === 2 }));

  it('are named but for the loopback, and none while the host as a whole does not', () => {
    expect(exceptions([{ family: 4, on: true }, ...each], names)).toEqual(['eth1']);
    expect(exceptions([{ family: 4, on: false }, ...each], names)).toEqual([]);
  });
});

describe('room for flows', () => {
  it('tells of refused flows for a minute, and starts anew with the counters', async () => {
    let [now, refused] = [0, 5];
    const reader = new ConntrackRoomReader({
      now: () => now,
      sources: { setting: async (name) => (name.endsWith('count') ? '7\n' : '100\n'), refused: async () => refused },
    });
    expect(await reader.read()).toEqual({ count: 7, max: 100, refused: 0 });
    refused = 8;
    now = 1000;
    expect((await reader.read())?.refused).toBe(3);
    now = 1000 + RECENT_MS;
    expect((await reader.read())?.refused).toBe(0);
    refused = 1;
    expect((await reader.read())?.refused).toBe(0);
  });

  it('is not asked for where nothing is tracked', async () => {
    const reader = new ConntrackRoomReader({
      now: () => 0,
      sources: { setting: async () => undefined, refused: () => Promise.reject(new Error('asked')) },
    });
    expect(await reader.read()).toBeUndefined();
  });
});

describe('parts of the kernel', () => {
  it('that are built in are there; others are loaded, or it is said why not', async () => {
    const exec = new FakeExec({ answer: () => ({ exitCode: 1, stderr: 'modprobe: FATAL: Module gone not found.\n' }) });
    const modules = new HostKernelModules({ exec, builtIn: async () => new Set(['built_in']) });
    expect(await modules.present('built_in')).toBe(true);
    expect(await modules.load('built_in')).toBeUndefined();
    expect(exec.commands).toEqual([]);
    expect(await modules.load('gone_for_good')).toBe('modprobe: FATAL: Module gone not found.');
    const without = new HostKernelModules({ exec: new FakeExec({ answer: () => undefined }), builtIn: async () => new Set() });
    expect(await without.load('gone_for_good')).toContain('install the Debian package kmod');
  });
});
