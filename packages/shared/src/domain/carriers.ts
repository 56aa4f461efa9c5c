/** Which of the two kinds of driver can carry a forward, as far as its spec alone tells: the same for control plane and agent. */
import { familyOf, type TrafficSpec } from './forward.js';
import { type Cidr, contains, type IpAddress, parseCidr } from './ip.js';
import type { Violation } from './result.js';

const network = (text: string): Cidr => {
  const cidr = parseCidr(text);
  if (!cidr.ok) throw new Error(cidr.error);
  return cidr.value;
};

/** What is reached on the host itself only (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3). */
export const LOOPBACK: readonly Cidr[] = [network('127.0.0.0/8'), network('::1/128')];

export const isLoopback = (address: IpAddress): boolean => LOOPBACK.some((n) => contains(n, address));

/** Why a forward needs the relay; empty: the kernel can carry it. Each names the field that asks for it. */
export function kernelCannot(spec: TrafficSpec): readonly Violation[] {
  const { listen, targets, relay } = spec;
  const found: Violation[] = [];
  const add = (field: string, description: string) => found.push({ field, description });
  if (listen.address && isLoopback(listen.address))
    add('listen.address', `${listen.address.text} is a loopback address, to which the kernel forwards nothing`);
  const family = familyOf(spec);
  targets.forEach(({ host }, i) => {
    if (host.kind !== 'ip') return;
    if (isLoopback(host.address))
      add(`targets[${i}].host`, `${host.address.text} is a loopback address, to which the kernel forwards nothing`);
    if (host.address.family !== family)
      add(
        `targets[${i}].host`,
        `${host.address.text} is IPv${host.address.family} and the listener IPv${family}, between which the kernel does not translate`,
      );
  });
  if (relay?.proxyProtocol) add('relay.proxy_protocol', 'the PROXY protocol is spoken by the relay only');
  if (relay?.connectTimeout !== undefined) add('relay.connect_timeout_seconds', NO_TIMES);
  if (relay?.tcpIdleTimeout !== undefined) add('relay.tcp_idle_timeout_seconds', NO_TIMES);
  if (relay?.udpIdleTimeout !== undefined) add('relay.udp_idle_timeout_seconds', NO_TIMES);
  if (relay?.maxConnections !== undefined) add('relay.max_connections', NO_LIMITS);
  if (relay?.maxConnectionsPerClient !== undefined) add('relay.max_connections_per_client', NO_LIMITS);
  return found;
}

const NO_TIMES = 'the kernel has one time-out for all that it forwards; only the relay has one for each forward';
const NO_LIMITS = 'the kernel does not count connections of one forward; only the relay does';

/** Why the relay cannot carry a forward; empty: it can. */
export function relayCannot(spec: TrafficSpec): readonly Violation[] {
  const { listen, snat, helper, clampMss } = spec;
  const found: Violation[] = [];
  const add = (field: string, description: string) => found.push({ field, description });
  if (listen.protocol === 'all')
    add('listen.protocol', 'the relay carries TCP and UDP; 1:1 NAT of an address, ICMP with it, is done by the kernel only');
  if (snat.mode === 'none')
    add(
      'snat.mode',
      "the relay opens connections of its own, so it cannot keep the client's address; use the PROXY protocol, or let the kernel carry the forward",
    );
  if (helper === 'ftp')
    add('helper', 'the relay does not follow FTP; let the kernel carry the forward, or forward the passive ports as a range');
  if (clampMss)
    add('clamp_mss', 'connections of the relay end at the gateway, so there is no segment size to lower; leave it out');
  if (spec.relay?.proxyProtocol === 'v1' && listen.protocol !== 'tcp')
    add('relay.proxy_protocol', 'version 1 of the PROXY protocol knows TCP only; use v2');
  return found;
}
