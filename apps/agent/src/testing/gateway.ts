/** A gateway as planners see it, for specs: what drivers it has, and what there is on it beside gwctl. */
import type { DriverCapabilities, HostFacts } from '../planner/types.js';
import { ip } from './placed.js';

/** A kernel driver that can do everything. */
export const EVERYTHING: DriverCapabilities = {
  families: [4, 6],
  protocols: ['tcp', 'udp', 'tcp+udp', 'all'],
  portRanges: true,
  targets: 64,
  affinityTargets: 64,
  announce: true,
  ftp: true,
  clampMss: true,
  egress: true,
  kind: 'kernel',
};

/** A kernel driver that can do no more than it must: one IPv4 port to one target. */
export const LEAST: DriverCapabilities = {
  families: [4],
  protocols: ['tcp', 'udp'],
  portRanges: false,
  targets: 1,
  affinityTargets: 0,
  announce: false,
  ftp: false,
  clampMss: false,
  egress: false,
  kind: 'kernel',
};

/** Two networks, and nobody but sshd. */
export const FACTS: HostFacts = {
  interfaces: ['lo', 'wan', 'lan'],
  addresses: [
    { address: ip('127.0.0.1'), prefix: 8, interface: 'lo' },
    { address: ip('198.51.100.1'), prefix: 24, interface: 'wan' },
    { address: ip('10.0.0.1'), prefix: 24, interface: 'lan' },
    { address: ip('2001:db8::1'), prefix: 64, interface: 'wan' },
  ],
  sockets: [],
  protected: [{ kind: 'ssh', protocol: 'tcp', port: 22, reason: "the gateway's own sshd" }],
};
