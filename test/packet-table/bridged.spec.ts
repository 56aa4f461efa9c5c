import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Lab, type LabSpec, waitFor } from '../lab/index.js';
import { type ForwardOptions, forward } from './forwards.js';
import { Gateway } from './gateway.js';
import { join } from './net.js';
import { DRIVERS } from './topology.js';

/** Two neighbours over a bridge of the gateway, and a target elsewhere. */
const topology = {
  name: 'bridged',
  hosts: {
    left: { links: { eth0: { segment: 'left', addresses: ['192.0.2.10/24', '2001:db8:3::10/64'] } } },
    right: { links: { eth0: { segment: 'right', addresses: ['192.0.2.20/24', '2001:db8:3::20/64'] } } },
    gw: {
      links: {
        port0: { segment: 'left' },
        port1: { segment: 'right' },
        lan: { segment: 'lan', addresses: ['10.0.0.1/24', 'fd00:10::1/64'] },
      },
      sysctls: { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 },
    },
    srv: {
      links: { eth0: { segment: 'lan', addresses: ['10.0.0.10/24', 'fd00:10::10/64'] } },
      routes: ['default via 10.0.0.1', 'default via fd00:10::1'],
    },
  },
} as const satisfies LabSpec;

const BRIDGE = [
  'link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
  'link set port0 master br0',
  'link set port1 master br0',
  'link set br0 up',
  'address add 192.0.2.1/24 dev br0',
  'address add 2001:db8:3::1/64 dev br0 nodad',
];

const FAMILIES = [
  { family: 'IPv4', right: '192.0.2.20', target: '10.0.0.10', own: 'nf_call_iptables', setting: 'bridge-nf-call-iptables' },
  {
    family: 'IPv6',
    right: '2001:db8:3::20',
    target: 'fd00:10::10',
    own: 'nf_call_ip6tables',
    setting: 'bridge-nf-call-ip6tables',
  },
] as const;
const SETTINGS = FAMILIES.map((f) => `net.bridge.${f.setting}`);

/** A frame that only passes over a bridge of the gateway is nobody's business, unless the kernel shows it to rules of IP as well. */
describe.each(DRIVERS)('bridged traffic, with %s', (driver) => {
  let lab: Lab<keyof typeof topology.hosts>;
  let gateway: Gateway;

  beforeAll(async () => {
    if (!existsSync('/proc/sys/net/bridge'))
      throw new Error('this kernel does not show bridged frames to rules: run "modprobe br_netfilter" as root, and again');
    lab = await Lab.create(topology);
    const gw = lab.host('gw');
    await gw.exec(['ip', '-batch', '-'], { stdin: `${BRIDGE.join('\n')}\n` });
    for (const { right, target } of FAMILIES) {
      await lab.host('right').serve([443, 444].map((port) => ({ proto: 'tcp', address: right, port })));
      await lab.host('srv').serve([{ proto: 'tcp', address: target, port: 8443 }]);
    }
    gateway = await Gateway.on(gw);
    await gateway.start(driver, lab.directory('state'));
  });
  afterEach(() => gateway.cleanUp());
  afterAll(() => lab?.destroy());

  /** Whether rules see frames that pass: for all bridges. */
  const shown = (value: 0 | 1) => lab.host('gw').sysctl(Object.fromEntries(SETTINGS.map((s) => [s, value])));

  describe.each(FAMILIES)('$family', ({ right, target, own, setting }) => {
    const ask = async (port = 443) => {
      const answer = await lab.host('left').ask({ proto: 'tcp', to: right, port, timeoutMs: 300 });
      return typeof answer === 'string' ? answer : answer.local;
    };
    const want = (options: ForwardOptions = {}) =>
      gateway.want([forward(`${join(right, 443)}/tcp`, join(target, 8443), options)], { fresh: true });

    it('passes untouched where rules do not see it, and nothing is said', async () => {
      await shown(0);
      const { conditions } = await want();
      expect([await ask(), await ask(444)]).toEqual([join(right, 443), join(right, 444)]);
      expect(conditions).not.toHaveProperty('BridgedTraffic');
    });

    it('goes to the target where rules see it, which the gateway says', async () => {
      await shown(1);
      const { conditions, told } = await want();
      expect([await ask(), await ask(444)]).toEqual([join(target, 8443), join(right, 444)]);
      expect(conditions.BridgedTraffic).toBe('TRANSLATED');
      expect(told.BridgedTraffic).toContain(`Set ${SETTINGS.join(' and ')} to 0`);
      // What it says to do helps; both ways.
      await want({ interface: 'lan' });
      expect(await ask()).toBe(join(right, 443));
      await want();
      await lab.host('gw').sysctl({ [`net.bridge.${setting}`]: 0 });
      expect(await ask()).toBe(join(right, 443));
    });

    it('so it is with the switch of that bridge alone', async () => {
      await shown(0);
      const file = `/sys/class/net/br0/bridge/${own}`;
      const set = (value: 0 | 1) => lab.host('gw').exec(['sh', '-c', `echo ${value} > ${file}`]);
      await set(1);
      const { told } = await want();
      expect(await ask()).toBe(join(target, 8443));
      expect(told.BridgedTraffic).toContain(`Set ${file} to 0`);
      await set(0);
      expect((await want()).told).not.toHaveProperty('BridgedTraffic');
    });

    it('a host that the agent made forward drops the rest where rules see it, which the gateway says', async () => {
      await shown(1);
      const forwarding = (value: 0 | 1) =>
        lab.host('gw').sysctl({ 'net.ipv4.ip_forward': value, 'net.ipv6.conf.all.forwarding': value });
      await forwarding(0);
      const { conditions, told } = await want();
      expect(conditions.IpForwarding).toBe('TURNED_ON_BY_AGENT');
      expect([await ask(), await ask(444)]).toEqual([join(target, 8443), 'timeout']);
      expect(told.BridgedTraffic).toContain('what is for none of them is dropped');
      await shown(0);
      // Neighbours of IPv6 find each other by packets that were dropped as well; they ask again after a second.
      await waitFor(async () => (await ask(444)) === join(right, 444), { what: 'the neighbour again' });
      await gateway.cleanUp();
      await forwarding(1);
    });
  });
});
