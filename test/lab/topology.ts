import { isIP } from 'node:net';

/** One interface of a host. */
export interface LinkSpec {
  /**
   * What it is plugged into. A segment that two interfaces share is a plain veth pair; one with more (or one) is a bridge
   * in a namespace of its own.
   */
  segment: string;
  /** `192.168.1.20/24`, `fd00::1/64`; IPv6 addresses work at once (no duplicate address detection). */
  addresses?: readonly string[];
  mtu?: number;
}

export interface HostSpec {
  /** By interface name. */
  links: Readonly<Record<string, LinkSpec>>;
  /** As written after `ip route add`: `default via 192.168.1.1`. The family follows from the addresses: `::/0 dev eth0` where no other tells. */
  routes?: readonly string[];
  /** Beyond the defaults of `hostSysctls`. */
  sysctls?: Readonly<Record<string, string | number>>;
}

export interface LabSpec {
  /** In the names of the namespaces, `name-host`; unique among labs that exist at the same time. */
  name: string;
  hosts: Readonly<Record<string, HostSpec>>;
}

/** One end of a cable: an interface of a host or a port of a bridge. */
interface Cable {
  host: string;
  interface: string;
  /** The namespace and the interface at the other end. */
  farNamespace: string;
  farInterface: string;
  /** The bridge that the far end is a port of. */
  bridge?: string;
}

export interface Topology {
  /** Namespace of each host. */
  namespaces: ReadonlyMap<string, string>;
  /** Namespace of the bridges; undefined where there is none. */
  bridgeNamespace: string | undefined;
  bridges: readonly string[];
  cables: readonly Cable[];
}

/**
 * Set in every host, because a new namespace inherits IPv4 settings from the machine: the same everywhere, and a host
 * neither forwards nor drops by reverse path unless the test says so.
 */
export const hostSysctls: Readonly<Record<string, string | number>> = {
  'net.ipv4.ip_forward': 0,
  'net.ipv4.conf.all.rp_filter': 0,
  'net.ipv4.conf.default.rp_filter': 0,
  'net.ipv4.conf.all.accept_redirects': 0,
  'net.ipv4.conf.default.accept_redirects': 0,
  'net.ipv4.conf.all.send_redirects': 0,
  'net.ipv4.conf.default.send_redirects': 0,
  'net.ipv4.ping_group_range': '0 0',
  'net.ipv6.conf.all.accept_dad': 0,
  'net.ipv6.conf.default.accept_dad': 0,
  'net.ipv6.conf.all.accept_ra': 0,
  'net.ipv6.conf.default.accept_ra': 0,
};

/** Applied to each interface as well: `all` does not reach those that exist when it is set. */
const linkSysctls: Readonly<Record<string, string | number>> = {
  'ipv4.conf.IF.rp_filter': 0,
  'ipv4.conf.IF.accept_redirects': 0,
  'ipv4.conf.IF.send_redirects': 0,
  'ipv6.conf.IF.accept_dad': 0,
  'ipv6.conf.IF.accept_ra': 0,
};

function check(what: string, value: string, pattern: RegExp, allowed: string): void {
  if (!pattern.test(value)) throw new Error(`lab: ${what} "${value}": ${allowed}`);
}

function checkAddress(where: string, address: string): void {
  const [ip = '', length = ''] = address.split('/');
  const family = isIP(ip);
  const longest = family === 6 ? 128 : 32;
  if (family === 0 || !/^\d+$/.test(length) || Number(length) > longest)
    throw new Error(`lab: ${where}: "${address}" is no address with prefix length, such as 192.168.1.20/24`);
}

function checkSpec(spec: LabSpec): void {
  check('name', spec.name, /^[a-z][a-z0-9-]{0,30}$/, 'lower-case letters, digits and hyphens');
  for (const [name, host] of Object.entries(spec.hosts)) {
    check('host', name, /^[a-z][a-z0-9-]{0,30}$/, 'lower-case letters, digits and hyphens');
    for (const [link, { segment, addresses = [] }] of Object.entries(host.links)) {
      check(`interface of ${name}`, link, /^[a-zA-Z0-9_.-]{1,15}$/, 'at most 15 letters, digits, dots, hyphens');
      check(`segment of ${name}`, segment, /^[a-z][a-z0-9-]{0,11}$/, 'at most 12 lower-case letters, digits and hyphens');
      for (const address of addresses) checkAddress(`${name} ${link}`, address);
    }
    for (const route of host.routes ?? []) check(`route of ${name}`, route, /^[a-zA-Z0-9 .:/_-]+$/, 'as after "ip route add"');
    for (const key of Object.keys(host.sysctls ?? {}))
      check(`sysctl of ${name}`, key, /^[a-zA-Z0-9_./-]+$/, 'a name as sysctl(8) takes it');
  }
}

/** Which namespaces, bridges and cables a lab is made of. Pure. @throws Error naming the part that is wrong */
export function planTopology(spec: LabSpec): Topology {
  checkSpec(spec);
  const namespaces = new Map(Object.keys(spec.hosts).map((host) => [host, `${spec.name}-${host}`]));
  const segments = new Map<string, { host: string; interface: string }[]>();
  for (const [host, { links }] of Object.entries(spec.hosts)) {
    for (const [name, { segment }] of Object.entries(links)) {
      const ends = segments.get(segment) ?? [];
      ends.push({ host, interface: name });
      segments.set(segment, ends);
    }
  }
  const bridgeNamespace = `${spec.name}--bridges`;
  const bridges: string[] = [];
  const cables: Cable[] = [];
  for (const [segment, ends] of segments) {
    const [a, b] = ends;
    if (ends.length === 2 && a && b && a.host !== b.host) {
      const far = namespaces.get(b.host);
      if (far !== undefined) cables.push({ ...a, farNamespace: far, farInterface: b.interface });
      continue;
    }
    bridges.push(`br-${segment}`);
    for (const end of ends)
      cables.push({ ...end, farNamespace: bridgeNamespace, farInterface: `p${cables.length}`, bridge: `br-${segment}` });
  }
  return { namespaces, bridgeNamespace: bridges.length > 0 ? bridgeNamespace : undefined, bridges, cables };
}

/** Cables that end at this host, on either side. */
export function cablesOf(topology: Topology, host: string): Cable[] {
  const namespace = topology.namespaces.get(host);
  return topology.cables.filter((c) => c.host === host || c.farNamespace === namespace);
}

/**
 * A hardware address that an interface keeps over a reboot of its host, as a real card does; neighbours remember it.
 * Locally administered (02:…), the rest FNV-1a of the name.
 */
function hardwareAddress(end: string): string {
  const octets = [0, 1, 2, 3, 4].map((salt) => {
    let hash = 0x811c9dc5 ^ salt;
    for (let i = 0; i < end.length; i++) hash = Math.imul(hash ^ end.charCodeAt(i), 0x01000193) >>> 0;
    return ((hash >>> 16) & 0xff).toString(16).padStart(2, '0');
  });
  return `02:${octets.join(':')}`;
}

/** Input for `ip -batch` in the lab's own namespace: lays cables. */
export function layCables(topology: Topology, cables: readonly Cable[]): string[] {
  return cables.map((c) => {
    const namespace = topology.namespaces.get(c.host) ?? '';
    // Both ends of a veth with the same index, each in its own namespace, look to the kernel (linkwatch_urgent_event) like
    // one plain device: its "carrier is there" waits up to a second, and IPv6 with it. So no index is used twice.
    const index = 10 + 2 * topology.cables.indexOf(c);
    const end = (name: string, at: string) => `${name} netns ${at} address ${hardwareAddress(`${at}/${name}`)}`;
    const near = `${end(c.interface, namespace)} index ${index}`;
    return `link add ${near} type veth peer name ${end(c.farInterface, c.farNamespace)} index ${index + 1}`;
  });
}

/** Input for `ip -batch` in the namespace of the bridges. */
export function connectPorts(cables: readonly Cable[]): string[] {
  return cables.filter((c) => c.bridge !== undefined).map((c) => `link set ${c.farInterface} master ${c.bridge} up`);
}

export function makeBridges(bridges: readonly string[]): string[] {
  return bridges
    .map((b) => `link add ${b} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`)
    .concat(bridges.map((b) => `link set ${b} up`));
}

/** Arguments for `sysctl -w` in a host. */
export function sysctlsOf(host: HostSpec): string[] {
  const settings: Record<string, string | number> = { ...hostSysctls };
  for (const link of Object.keys(host.links))
    for (const [key, value] of Object.entries(linkSysctls))
      settings[`net/${key.replaceAll('.', '/').replace('IF', link)}`] = value;
  Object.assign(settings, host.sysctls);
  return Object.entries(settings).map(([key, value]) => `${key}=${value}`);
}

/** Input for `ip -batch` in a host: addresses, links up, routes. Idempotent, so that it also mends a host whose peer was rebuilt. */
export function configureHost(host: HostSpec): string[] {
  const lines = ['link set lo up'];
  for (const [name, link] of Object.entries(host.links)) {
    for (const address of link.addresses ?? [])
      lines.push(`address replace ${address} dev ${name}${address.includes(':') ? ' nodad' : ''}`);
    lines.push(`link set ${name}${link.mtu === undefined ? '' : ` mtu ${link.mtu}`} up`);
  }
  for (const route of host.routes ?? []) lines.push(`route replace ${route}`);
  return lines;
}
