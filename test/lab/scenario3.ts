import { Lab } from './lab.js';
import type { LabSpec } from './topology.js';

/**
 * Scenario 3: an address that does not exist.
 *
 *     vm01 192.168.100.1 ──── eth0 .2 vm02 .2 eth1 ──┬── vm03 192.168.200.3
 *            192.168.100.0/24            192.168.200.0/24
 *                                                    └── control 192.168.200.9
 *
 * Nobody has 192.168.100.3. vm01 has no route beyond its own segment, and vm03 none to it: what comes from there is
 * answered only if it seems to come from vm02. No host has a default route, and vm02 does not forward.
 */
export const scenario3 = {
  vm01: '192.168.100.1',
  /** vm02 on eth0, towards vm01. */
  gateway: '192.168.100.2',
  /** vm02 on eth1, towards vm03. */
  gatewayInside: '192.168.200.2',
  vm03: '192.168.200.3',
  /** The address that nobody has. */
  listener: '192.168.100.3',
  control: '192.168.200.9',
  ipv6: {
    vm01: 'fd00:100::1',
    gateway: 'fd00:100::2',
    gatewayInside: 'fd00:200::2',
    vm03: 'fd00:200::3',
    listener: 'fd00:100::3',
  },
} as const;

export type Scenario3Host = 'vm01' | 'vm02' | 'vm03' | 'control';

function specification(name: string): LabSpec & { hosts: Record<Scenario3Host, LabSpec['hosts'][string]> } {
  const { ipv6 } = scenario3;
  return {
    name,
    hosts: {
      vm01: { links: { eth0: { segment: 'a', addresses: [`${scenario3.vm01}/24`, `${ipv6.vm01}/64`] } } },
      vm02: {
        links: {
          eth0: { segment: 'a', addresses: [`${scenario3.gateway}/24`, `${ipv6.gateway}/64`] },
          eth1: { segment: 'b', addresses: [`${scenario3.gatewayInside}/24`, `${ipv6.gatewayInside}/64`] },
        },
      },
      vm03: { links: { eth0: { segment: 'b', addresses: [`${scenario3.vm03}/24`, `${ipv6.vm03}/64`] } } },
      control: { links: { eth0: { segment: 'b', addresses: [`${scenario3.control}/24`] } } },
    },
  };
}

/** Builds the hosts of scenario 3, without any daemon. `control` is the operator's host as well. */
export function createScenario3(name = 'scenario3'): Promise<Lab<Scenario3Host>> {
  return Lab.create(specification(name));
}
