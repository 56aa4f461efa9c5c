import type { LabSpec } from '../lab/index.js';

/**
 * A client network, a gateway with three interfaces, and the targets' network:
 *
 *     cli 198.51.100.2 .3 .66 ── wan ┐
 *     dmz 192.0.2.9 ──────────── dmz ┤ gw ├ lan ── srv 10.0.0.10 .20 .31 .50 (default route: the gateway)
 *                                                  off 10.0.0.60 (knows its own network only)
 *
 * The gateway's addresses: wan 198.51.100.1 and 203.0.113.10, dmz 192.0.2.1, lan 10.0.0.1 and 10.0.0.2. Clients send 203.0.113.77,
 * which nobody has, to the gateway too.
 */
export const topology = {
  name: 'table',
  hosts: {
    cli: {
      links: { eth0: { segment: 'wan', addresses: ['198.51.100.2/24', '198.51.100.3/24', '198.51.100.66/24'] } },
      routes: ['default via 198.51.100.1'],
    },
    dmz: { links: { eth0: { segment: 'dmz', addresses: ['192.0.2.9/24'] } }, routes: ['default via 192.0.2.1'] },
    gw: {
      links: {
        wan: { segment: 'wan', addresses: ['198.51.100.1/24', '203.0.113.10/32'] },
        dmz: { segment: 'dmz', addresses: ['192.0.2.1/24'] },
        lan: { segment: 'lan', addresses: ['10.0.0.1/24', '10.0.0.2/24'] },
      },
      sysctls: { 'net.ipv4.ip_forward': 1 },
    },
    srv: {
      links: { eth0: { segment: 'lan', addresses: ['10.0.0.10/24', '10.0.0.20/24', '10.0.0.31/24', '10.0.0.50/24'] } },
      routes: ['default via 10.0.0.1'],
    },
    off: { links: { eth0: { segment: 'lan', addresses: ['10.0.0.60/24'] } } },
  },
} as const satisfies LabSpec;

export type TableHost = keyof typeof topology.hosts;

/** The drivers that must give identical answers. */
export const DRIVERS = ['nftables', 'iptables-nft', 'iptables-legacy'] as const;
export type TableDriver = (typeof DRIVERS)[number];

/** Those whose rules `iptables-save` shows. */
export const IPTABLES_DRIVERS = ['iptables-nft', 'iptables-legacy'] as const;
