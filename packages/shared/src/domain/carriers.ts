/** Which of the two kinds of driver can carry a forward, as far as its spec alone tells: the same for control plane and agent. */
import { familyOf } from './family.js';
import type { TrafficSpec } from './forward.js';
import { type Cidr, type Family, type IpAddress, parseCidr } from './ip.js';
import type { Violation } from './result.js';

const network = (text: string): Cidr => {
  const cidr = parseCidr(text);
  if (!cidr.ok) throw new Error(cidr.error);
  return cidr.value;
};

/** What is reached on the host itself only (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3). */
export const LOOPBACK: readonly Cidr[] = [network('127.0.0.0/8'), network('::1/128')];

/** Whether {@link LOOPBACK} has it. The text is canonical, and to compare it is cheap enough to be asked of tens of thousands. */
export const isLoopback = ({ family, text }: IpAddress): boolean => (family === 4 ? text.startsWith('127.') : text === '::1');

/** The parts of a spec that tell whether the kernel can carry it. */
type Asked = Pick<TrafficSpec, 'listen' | 'targets' | 'relay'>;

/** Why a forward needs the relay; empty: the kernel can carry it. Each names the field that asks for it. */
export function kernelCannot(spec: Asked): readonly Violation[] {
  const { listen, targets, relay } = spec;
  const found: Violation[] = [];
  const add = (field: string, description: string) => found.push({ field, description });
  if (listen.address && isLoopback(listen.address))
    add('listen.address', `${listen.address.text} is a loopback address, to which the kernel forwards nothing`);
  const family = familyOf(spec);
  const other = listen.address ? 'the listener' : 'another target';
  targets.forEach(({ host }, i) => {
    if (host.kind !== 'ip') return;
    if (isLoopback(host.address))
      add(`targets[${i}].host`, `${host.address.text} is a loopback address, to which the kernel forwards nothing`);
    if (host.address.family !== family)
      add(
        `targets[${i}].host`,
        `${host.address.text} is IPv${host.address.family} and ${other} IPv${family}, between which the kernel does not translate`,
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
export function relayCannot(
  spec: Pick<TrafficSpec, 'listen' | 'snat' | 'helper' | 'clampMss' | 'takeover'>,
): readonly Violation[] {
  const { listen, snat, helper, clampMss, takeover } = spec;
  const found: Violation[] = [];
  const add = (field: string, description: string) => found.push({ field, description });
  if (listen.protocol === 'all')
    add('listen.protocol', 'the relay carries TCP and UDP; 1:1 NAT of an address, ICMP with it, is done by the kernel only');
  if (snat.mode === 'none')
    add(
      'snat.mode',
      "the relay opens connections of its own and cannot keep the client's address, which the PROXY protocol tells targets instead",
    );
  if (helper === 'ftp')
    add('helper', 'the relay does not follow FTP, whose passive ports it can only carry as a range of their own');
  if (clampMss) add('clamp_mss', 'connections of the relay end at the gateway, so there is no segment size to lower');
  if (takeover) add('takeover', 'the relay listens with a socket of its own, so it cannot take what another socket has');
  return found;
}

/** Whether a forward goes by the relay wherever it stands, because it is wanted so or because only the relay can. */
export const needsRelay = (spec: Asked & Pick<TrafficSpec, 'driver'>): boolean =>
  spec.driver === 'relay' || (spec.driver === 'auto' && kernelCannot(spec).length > 0);

const EACH: Readonly<Record<Family, readonly Family[]>> = { 4: [4], 6: [6] };
const BOTH: readonly Family[] = [4, 6];

/**
 * The families of which a listener takes traffic: of its address; without one, that of the forward, and both where the relay carries it,
 * which joins IPv4 and IPv6 anyway.
 */
export function familiesOf(spec: Asked & Pick<TrafficSpec, 'driver'>): readonly Family[] {
  return spec.listen.address === undefined && needsRelay(spec) ? BOTH : EACH[familyOf(spec)];
}

/** Why nobody may carry a forward: what its driver cannot do, or, with `auto`, what neither can. Fields start with `prefix`. */
export function carrierViolations(spec: TrafficSpec, prefix = ''): readonly Violation[] {
  const [kernel, relay] = [kernelCannot(spec), relayCannot(spec)];
  const say = (reasons: readonly Violation[], advice: string) =>
    reasons.map(({ field, description }) => ({ field: `${prefix}${field}`, description: `${description}; ${advice}` }));
  switch (spec.driver) {
    case 'kernel':
      return say(kernel, relay.length > 0 ? LEAVE_OUT : 'use driver auto or relay');
    case 'relay':
      return say(relay, kernel.length > 0 ? LEAVE_OUT : 'use driver auto or kernel');
    case 'auto':
      if (kernel.length === 0 || relay.length === 0) return [];
      return [...say(kernel, NOR_RELAY), ...say(relay, NOR_KERNEL)];
  }
}

const LEAVE_OUT = 'leave it out';
const NOR_RELAY = 'the relay cannot carry this forward either, so leave this out, or what keeps it from the relay';
const NOR_KERNEL = 'the kernel cannot carry this forward either, so leave this out, or what keeps it from the kernel';
