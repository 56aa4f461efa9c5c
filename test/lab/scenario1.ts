import { Lab } from './lab.js';
import type { LabSpec } from './topology.js';

/**
 * Scenario 1: a gateway that is not the default route.
 *
 *     outsider 10.99.0.20 ── router ──┐
 *     client 192.168.1.20, .21 ───────┤ 192.168.1.0/24          192.168.2.0/24
 *     control 192.168.1.5 ────────────┼── enp1s0 .10 gw1 .10 enp2s0 ──┬── gitbucket .122
 *                                     └── .1 router .1 ───────────────┘
 *
 * The targets send what is not local to the router, not to the gateway: without SNAT their replies go astray. The
 * gateway's own default route is the router too. The outsider reaches everything through the router, so that only an
 * allow-list keeps it out.
 */
export const scenario1 = {
  client: '192.168.1.20',
  /** A second address of the client's host, in the same network. */
  client2: '192.168.1.21',
  control: '192.168.1.5',
  /** The gateway's listener address, on enp1s0. */
  gateway: '192.168.1.10',
  /** The gateway's address towards the targets, on enp2s0. */
  gatewayInside: '192.168.2.10',
  gitbucket: '192.168.2.122',
  router: '192.168.1.1',
  /** Outside 192.168.1.0/24. */
  outsider: '10.99.0.20',
  /** GitBucket's SSH; also the listener's port. */
  sshPort: 10022,
  lan: '192.168.1.0/24',
} as const;

export type Scenario1Host = 'client' | 'gw1' | 'gitbucket' | 'router' | 'control' | 'outsider';

function specification(name: string): LabSpec & { hosts: Record<Scenario1Host, LabSpec['hosts'][string]> } {
  return {
    name,
    hosts: {
      client: {
        links: { eth0: { segment: 'lan', addresses: [`${scenario1.client}/24`, `${scenario1.client2}/24`] } },
        routes: [`default via ${scenario1.router}`],
      },
      control: {
        links: { eth0: { segment: 'lan', addresses: [`${scenario1.control}/24`] } },
        routes: [`default via ${scenario1.router}`],
      },
      gw1: {
        links: {
          enp1s0: { segment: 'lan', addresses: [`${scenario1.gateway}/24`] },
          enp2s0: { segment: 'targets', addresses: [`${scenario1.gatewayInside}/24`] },
        },
        routes: [`default via ${scenario1.router}`],
      },
      gitbucket: {
        links: { eth0: { segment: 'targets', addresses: [`${scenario1.gitbucket}/24`] } },
        routes: ['default via 192.168.2.1'],
      },
      router: {
        links: {
          lan0: { segment: 'lan', addresses: [`${scenario1.router}/24`] },
          lan1: { segment: 'targets', addresses: ['192.168.2.1/24'] },
          wan0: { segment: 'outside', addresses: ['10.99.0.1/24'] },
        },
        sysctls: { 'net.ipv4.ip_forward': 1 },
      },
      outsider: {
        links: { eth0: { segment: 'outside', addresses: [`${scenario1.outsider}/24`] } },
        routes: ['default via 10.99.0.1'],
      },
    },
  };
}

/** Builds the hosts of scenario 1, without any daemon. `control` is the operator's host as well. */
export function createScenario1(name = 'scenario1'): Promise<Lab<Scenario1Host>> {
  return Lab.create(specification(name));
}
