/** Forwards, and the driver on a host in memory, for the specs of this folder. */
import { type Cidr, type IpAddress, parseCidr, parseIp } from '@gwctl/shared/domain/ip';
import type { PlacedForward, ProtectedListener } from '../../planner/types.js';
import { MemoryFlows } from '../../system/conntrack.fake.js';
import { type Flow, isAlive, matches } from '../../system/conntrack.js';
import { forwardKey } from '../../system/forward-key.js';
import { IpForwarding } from '../../system/ip-forwarding.js';
import { MemorySysctl, MemorySysctlRecord } from '../../system/sysctl.fake.js';
import { NftablesDriver } from './driver.js';
import { FakeFilters } from './filters.fake.js';
import { FakeNft } from './nft.fake.js';

export function ip(text: string): IpAddress {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

/** A forward in few words; by default tcp 203.0.113.10:443 to 10.0.0.10:8443, masqueraded, drained, for anyone. */
export function placed(
  options: {
    readonly uid?: string;
    readonly address?: string | null;
    readonly interface?: string;
    readonly protocol?: 'tcp' | 'udp';
    readonly port?: number;
    readonly target?: string;
    readonly targetPort?: number;
    readonly allow?: readonly string[];
    readonly snat?: 'masquerade' | 'none' | string;
    readonly onChange?: PlacedForward['onChange'];
    readonly hairpin?: readonly string[];
  } = {},
): PlacedForward {
  const uid = options.uid ?? '00000000-0000-4000-8000-000000000001';
  const port = options.port ?? 443;
  const { address = '203.0.113.10', snat = 'masquerade' } = options;
  return {
    uid,
    generation: 1,
    key: forwardKey(uid),
    family: 4,
    listen: {
      ...(address === null ? {} : { address: ip(address) }),
      ...(options.interface === undefined ? {} : { interface: options.interface }),
      protocol: options.protocol ?? 'tcp',
      ports: { first: port, last: port },
    },
    targets: [{ address: ip(options.target ?? '10.0.0.10'), port: options.targetPort ?? 8443, weight: 1 }],
    allow: (options.allow ?? []).map(cidr),
    snat: snat === 'masquerade' || snat === 'none' ? { mode: snat } : { mode: 'address', address: ip(snat) },
    onChange: options.onChange ?? 'drain',
    hairpin: (options.hairpin ?? []).map(cidr),
  };
}

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

/** A host in memory, which forwards already, and drivers on it. */
export class MemoryHost {
  readonly nft = new FakeNft();
  readonly filters = new FakeFilters();
  readonly flows = new MemoryFlows();
  readonly sysctl = new MemorySysctl();
  readonly #forwarding = new IpForwarding({ sysctl: this.sysctl, record: new MemorySysctlRecord() });
  readonly driver = this.freshDriver();

  /** One without memory. Its clock stands at 1000. */
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
      host: { now: () => 1000 },
    });
  }

  async reconcile(forwards: readonly PlacedForward[], guarded: readonly ProtectedListener[] = [SSH]) {
    const { driver } = this;
    const rendered = driver.render({ forwards, protected: guarded });
    const plan = driver.diff(rendered, driver.mirror() ?? (await driver.observe()));
    await driver.apply(plan);
    return { rendered, plan };
  }
}
