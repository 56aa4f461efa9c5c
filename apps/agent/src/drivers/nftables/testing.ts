/** The driver on a host in memory, for the specs of this folder. */

import { FakeFilters } from '../../filters/filters.fake.js';
import type { HostDesired, PlacedEgress, PlacedForward, PlacedTarget, ProtectedListener } from '../../planner/types.js';
import { MemoryFlows } from '../../system/conntrack.fake.js';
import { type Flow, isAlive, matches } from '../../system/conntrack.js';
import { IpForwarding } from '../../system/ip-forwarding.js';
import { MemorySysctl, MemorySysctlRecord } from '../../system/sysctl.fake.js';
import { cidr, ip, placed } from '../../testing/placed.js';
import { NftablesDriver } from './driver.js';
import { FakeNft } from './nft.fake.js';
import { eachElement, type Rendered } from './render.js';
import { FAMILIES } from './sets.js';

/** The n-th uid. */
export const uid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

export const SSH: ProtectedListener = { kind: 'ssh', protocol: 'tcp', port: 22, reason: 'the sshd of this gateway' };

/** A connection through the forward that {@link placed} gives. */
export const established = (over: Partial<Flow> = {}): Flow => ({
  protocol: 'tcp',
  state: 'ESTABLISHED',
  original: { source: '198.51.100.2', destination: '203.0.113.10', sourcePort: 40000, destinationPort: 443 },
  reply: { source: '10.0.0.10', destination: '10.0.0.1', sourcePort: 8443, destinationPort: 40000 },
  mark: 0,
  ...over,
});

/** `10.0.0.10:80`, `[fd00::1]:80`, or an address alone; the weight behind `*`. */
export function target(text: string): PlacedTarget {
  const [, six, four, port, weight] = /^(?:\[(.*)\]|([\d.]+))(?::(\d+))?(?:\*(\d+))?$/.exec(text) ?? [];
  return { address: ip(six ?? four ?? text), ...(port === undefined ? {} : { port: Number(port) }), weight: Number(weight ?? 1) };
}

/** {@link placed}, with everything that a forward can have. */
export function placedAs(options: Parameters<typeof placed>[0], over: Partial<PlacedForward>): PlacedForward {
  const { hairpin: _, ...rest } = options ?? {};
  return { ...placed(rest), ...over };
}

/** The same forward in the other family: 203.0.113.10 is 2001:db8::10, 10.0.0.10 is fd00::10. */
export function six(forward: PlacedForward): PlacedForward {
  const address = (text: string) =>
    text.includes(':') ? text : `${text.startsWith('10.') ? 'fd00' : '2001:db8'}::${text.split('.')[3]}`;
  return {
    ...forward,
    family: 6,
    listen: { ...forward.listen, ...(forward.listen.address ? { address: ip(address(forward.listen.address.text)) } : {}) },
    targets: forward.targets.map((t) => ({ ...t, address: ip(address(t.address.text)) })),
    ...(forward.allow
      ? { allow: forward.allow.map((c) => cidr(c.prefix === 0 ? '::/0' : `fd0${c.network.split('.')[1]}::/${c.prefix}`)) }
      : {}),
    ...(forward.snat.mode === 'address' ? { snat: { mode: 'address', address: ip(address(forward.snat.address.text)) } } : {}),
    hairpin: forward.hairpin.map((h) => ({ network: cidr('fd00::/64'), target: ip(address(h.target.text)) })),
  };
}

export function egress(over: Partial<PlacedEgress> = {}): PlacedEgress {
  return {
    uid: '00000000-0000-4000-9000-000000000001',
    generation: 1,
    key: 'e0000001',
    family: 4,
    sources: [cidr('10.0.0.0/24')],
    outInterface: 'wan',
    snat: { mode: 'masquerade' },
    except: [cidr('10.0.0.0/8'), cidr('224.0.0.0/4')],
    ...over,
  };
}

/** Elements by set, those of IPv6 with `ip6` before the set's name; sets without any are left out. */
export function elementsBySet(rendered: Rendered): Record<string, string[]> {
  const sets: Record<string, string[]> = {};
  for (const family of FAMILIES) {
    eachElement(rendered, family, ({ set, key, suffix }) => {
      const name = `${family === 6 ? 'ip6 ' : ''}${set.name}`;
      sets[name] = [...(sets[name] ?? []), set.name === 'pool-chains' ? `${key}: ${suffix}` : key + suffix];
    });
  }
  return sets;
}

/** A host in memory, which forwards already, and drivers on it. */
export class MemoryHost {
  readonly nft = new FakeNft();
  readonly filters = new FakeFilters();
  readonly flows = new MemoryFlows();
  readonly sysctl = new MemorySysctl();
  readonly #forwarding = new IpForwarding({ sysctl: this.sysctl, record: new MemorySysctlRecord() });
  /** Of IPv6: what it is, and whether it is our doing. */
  readonly six = { on: true, ours: false };
  /** How many transactions there were each time that packets under way were waited for. */
  readonly underWay: number[] = [];
  /** Milliseconds since the epoch. */
  now = 1000;
  #rendered: Rendered | undefined;
  readonly driver = this.freshDriver();

  /** One without memory. */
  freshDriver(): NftablesDriver {
    const { nft, filters, flows } = this;
    return new NftablesDriver({
      nft,
      filters,
      forwarding: this.#forwarding,
      flows: {
        table: flows,
        live: { among: async (wanted) => flows.flows.filter((f) => isAlive(f) && wanted.some((m) => matches(f, m))) },
      },
      forwarding6: {
        read: async () => ({ ...this.six }),
        turnOn: async () => void Object.assign(this.six, this.six.on ? {} : { on: true, ours: true }),
        restore: async () => void Object.assign(this.six, this.six.ours ? { on: false, ours: false } : {}),
      },
      host: { now: () => this.now, underWay: async () => void this.underWay.push(this.nft.committed.length) },
    });
  }

  async reconcile(
    forwards: readonly PlacedForward[],
    guarded: readonly ProtectedListener[] = [SSH],
    more: Partial<Pick<HostDesired, 'egresses' | 'relayed'>> = {},
  ) {
    const { driver } = this;
    const desired = { forwards, egresses: [], announced: [], relayed: [], protected: guarded, ...more };
    const rendered = driver.render(desired, this.#rendered);
    this.#rendered = rendered;
    const plan = driver.diff(rendered, driver.mirror() ?? (await driver.observe()));
    await driver.apply(plan);
    return { rendered, plan };
  }
}
