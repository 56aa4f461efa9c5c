/** Scenario 1's client, gateway and target for load: with all the ports there are, and a cable past the gateway to see what one adds. */
import { Lab } from '../lab/index.js';

export const GATEWAY = '192.168.1.10';
export const TARGET = '192.168.2.122';
export const CLIENTS = ['192.168.1.20', '192.168.1.21'] as const;
/** The target without a gateway between. */
export const DIRECT = '10.3.0.2';

// Ports that a connection of a moment ago had are used again, so that none runs out in a minute of short ones.
const MANY = {
  'net.ipv4.ip_local_port_range': '14000 65535',
  'net.ipv4.tcp_tw_reuse': 1,
  'net.core.somaxconn': 65_535,
};

export type SiteHost = 'client' | 'gw1' | 'target';

export function createSite(name: string): Promise<Lab<SiteHost>> {
  return Lab.create({
    name,
    hosts: {
      client: {
        links: {
          eth0: { segment: 'lan', addresses: CLIENTS.map((c) => `${c}/24`) },
          direct: { segment: 'direct', addresses: ['10.3.0.1/24'] },
        },
        sysctls: MANY,
      },
      gw1: {
        links: {
          enp1s0: { segment: 'lan', addresses: [`${GATEWAY}/24`] },
          enp2s0: { segment: 'targets', addresses: ['192.168.2.10/24'] },
        },
        sysctls: MANY,
      },
      target: {
        links: {
          eth0: { segment: 'targets', addresses: [`${TARGET}/24`] },
          direct: { segment: 'direct', addresses: [`${DIRECT}/24`] },
        },
        sysctls: MANY,
      },
    },
  });
}
