import type { LabSpec } from '../lab/index.js';
import { IPV4, IPV6 } from './net.js';

/** The kernel sends few ICMP errors a second; the table asks for many, and each must come. */
const EVERY_ERROR = { 'net.ipv4.icmp_ratelimit': 0, 'net.ipv6.icmp.ratelimit': 0 };

/**
 * A client network, a gateway with three interfaces, and the targets' network. Each host has the addresses of net.ts, of both families:
 *
 *     cli .2 .3 .66 and a crowd ── wan ┐
 *     dmz ──────────────────────── dmz ┤ gw ├ lan ── srv .10 .20 .31 .50 (default route: the gateway)
 *                                                    off .60 (knows its own network only)
 *                                                    hop (a router) ── 1280 bytes ── far, narrow
 *
 * The gateway's addresses: wan 198.51.100.1 and 203.0.113.10, dmz 192.0.2.1, lan 10.0.0.1 and 10.0.0.2. Clients send 203.0.113.77,
 * which nobody has, to the gateway too.
 */
export const topology = {
  name: 'table',
  hosts: {
    cli: {
      links: {
        eth0: {
          segment: 'wan',
          addresses: [
            ...[IPV4.cli, IPV4.cli3, IPV4.cli66, ...IPV4.crowd].map((a) => `${a}/24`),
            // The kernel prefers the newest IPv6 address as a source.
            ...[...IPV6.crowd, IPV6.cli66, IPV6.cli3, IPV6.cli].map((a) => `${a}/64`),
          ],
        },
      },
      routes: ['default via 198.51.100.1', 'default via 2001:db8:1::1'],
    },
    dmz: {
      links: { eth0: { segment: 'dmz', addresses: ['192.0.2.9/24', '2001:db8:3::9/64'] } },
      routes: ['default via 192.0.2.1', 'default via 2001:db8:3::1'],
    },
    gw: {
      links: {
        wan: {
          segment: 'wan',
          addresses: ['198.51.100.1/24', '203.0.113.10/32', '2001:db8:cafe::10/128', '2001:db8:1::1/64'],
        },
        dmz: { segment: 'dmz', addresses: ['192.0.2.1/24', '2001:db8:3::1/64'] },
        lan: { segment: 'lan', addresses: ['10.0.0.1/24', '10.0.0.2/24', 'fd00:10::2/64', 'fd00:10::1/64'] },
      },
      routes: [
        '10.0.9.0/24 via 10.0.0.70',
        'fd00:9::/64 via fd00:10::70',
        '10.0.8.0/24 via 10.0.0.70 mtu 1280',
        'fd00:8::/64 via fd00:10::70 mtu 1280',
      ],
      sysctls: { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1, ...EVERY_ERROR },
    },
    srv: {
      links: {
        eth0: {
          segment: 'lan',
          addresses: [
            ...['10.0.0.10/24', '10.0.0.20/24', '10.0.0.31/24', '10.0.0.50/24'],
            ...['fd00:10::50/64', 'fd00:10::31/64', 'fd00:10::20/64', 'fd00:10::10/64'],
          ],
        },
      },
      routes: ['default via 10.0.0.1', 'default via fd00:10::1'],
      sysctls: EVERY_ERROR,
    },
    off: { links: { eth0: { segment: 'lan', addresses: ['10.0.0.60/24', 'fd00:10::60/64'] } } },
    hop: {
      links: {
        eth0: { segment: 'lan', addresses: ['10.0.0.70/24', 'fd00:10::70/64'] },
        eth1: { segment: 'deep', addresses: ['10.0.9.1/24', '10.0.8.1/24', 'fd00:9::1/64', 'fd00:8::1/64'], mtu: 1280 },
      },
      routes: ['default via 10.0.0.1', 'default via fd00:10::1'],
      sysctls: { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 },
    },
    // It sends no more than its neighbour takes, and yet announces a larger segment size, so that it takes a router to say no.
    far: {
      links: { eth0: { segment: 'deep', addresses: ['10.0.9.9/24', '10.0.8.9/24', 'fd00:9::9/64', 'fd00:8::9/64'] } },
      routes: ['default via 10.0.9.1 mtu 1280 advmss 1460', 'default via fd00:9::1 mtu 1280 advmss 1440'],
    },
  },
} satisfies LabSpec;

export type TableHost = keyof typeof topology.hosts;

/** The drivers that must give identical answers. */
export const DRIVERS = ['nftables', 'iptables-nft', 'iptables-legacy'] as const;
export type TableDriver = (typeof DRIVERS)[number];

/** Those whose rules `iptables-save` shows. */
export const IPTABLES_DRIVERS = ['iptables-nft', 'iptables-legacy'] as const;
