/** The driver on a host in memory, for the specs of this folder. */
import type { PlacedForward, ProtectedListener } from '../../planner/types.js';
import { MemoryFlows } from '../../system/conntrack.fake.js';
import { type Flow, isAlive, matches } from '../../system/conntrack.js';
import { IpForwarding } from '../../system/ip-forwarding.js';
import { MemorySysctl, MemorySysctlRecord } from '../../system/sysctl.fake.js';
import { NftablesDriver } from './driver.js';
import { FakeFilters } from './filters.fake.js';
import { FakeNft } from './nft.fake.js';

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
