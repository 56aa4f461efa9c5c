import { isLoopback, kernelCannot } from '@gwctl/shared/domain/carriers';
import { familyOfEgress } from '@gwctl/shared/domain/egress';
import { familyOf, transports } from '@gwctl/shared/domain/forward';
import { contains, type IpAddress, networkOf } from '@gwctl/shared/domain/ip';
import type { Violation } from '@gwctl/shared/domain/result';
import { addressOf, forbiddenAs, isOwn } from './targets.js';
import type { DesiredEgress, DesiredForward, DriverCapabilities, HostFacts, LocalSocket, ProtectedListener } from './types.js';

/** What speaks against carrying one forward or egress on this host. */
export class Refusals {
  readonly violations: Violation[] = [];
  /** Protected listeners that the forward may take over and does. */
  readonly overruled: ProtectedListener[] = [];
  /** Where the listener's address is announced, if it is. */
  announceOn: string | undefined;
  /** UPPER_SNAKE_CASE word of the first refusal. */
  reason = '';

  /** Nothing speaks against it but that a local program has its port. */
  onlyPortInUse = false;

  refuse(reason: string, field: string, description: string): void {
    this.onlyPortInUse = reason === 'PORT_IN_USE' && (this.violations.length === 0 || this.onlyPortInUse);
    if (this.reason === '') this.reason = reason;
    this.violations.push({ field, description });
  }
}

/** Everything that speaks against the kernel's carrying `forward`, so that its author sees all of it at once. */
export function refusals(forward: DesiredForward, facts: HostFacts, capabilities: DriverCapabilities): Refusals {
  const found = new Refusals();
  refuseUnsupported(forward, capabilities, found);
  checkTarget(forward, facts, found);
  const cannot = kernelCannot(forward.spec);
  const known = new Set(cannot.length === 0 ? undefined : found.violations.map((v) => v.field));
  for (const { field, description } of cannot)
    if (!known.has(field)) found.refuse('RELAY_NEEDED', field, `${description}; only the relay could carry this`);
  checkListener(forward, facts, found);
  checkSnat(forward, facts, found);
  return found;
}

/** What the driver cannot do is refused by name: accepted and ignored would be a lie. */
function refuseUnsupported({ spec }: DesiredForward, can: DriverCapabilities, found: Refusals): void {
  const not = (field: string, description: string) => found.refuse('NOT_SUPPORTED_YET', field, description);
  const { listen } = spec;
  if (!can.protocols.includes(listen.protocol))
    not(
      'listen.protocol',
      listen.protocol === 'tcp+udp'
        ? 'tcp+udp is not supported by this agent yet; make one forward for tcp and one for udp'
        : `${listen.protocol} is not supported by this agent yet; use ${can.protocols.join(' or ')}`,
    );
  if (listen.ports && listen.ports.first !== listen.ports.last && !can.portRanges)
    not('listen.ports', 'port ranges are not supported by this agent yet; make one forward for each port');
  if (listen.announce && !can.announce)
    not(
      'listen.announce',
      'announcing an address is not supported by this agent yet; leave announce out and give the address to the gateway or route it there',
    );
  const most = spec.affinity === 'client' && spec.targets.length > 1 ? can.affinityTargets : can.targets;
  if (spec.targets.length > most)
    not(
      'targets',
      spec.affinity === 'client'
        ? `the driver of this gateway keeps clients with their target among ${most} at most; name fewer, or use affinity none`
        : `${spec.targets.length} targets are more than the ${most} that the driver of this gateway can carry`,
    );
  if (listen.protocol === 'all' && spec.targets.length > 1)
    found.refuse('ONE_TARGET', 'targets', 'protocol all is 1:1 NAT, which has one target; name one');
  if (spec.helper === 'ftp' && !can.ftp)
    not(
      'helper',
      'this gateway cannot follow FTP (its kernel has no helper for it); forward the passive ports as a range instead',
    );
  if (spec.clampMss && !can.clampMss) not('clamp_mss', 'the driver of this gateway cannot change the segment size; leave it out');
  const family = familyOf(spec);
  if (!can.families.includes(family))
    not(listen.address ? 'listen.address' : 'targets[0].host', `the driver of this gateway cannot carry IPv${family}`);
}

function checkTarget({ spec }: DesiredForward, facts: HostFacts, found: Refusals): void {
  spec.targets.forEach((target, i) => {
    const address = addressOf(target);
    if (!address) return;
    const forbidden = forbiddenAs(address);
    if (forbidden)
      found.refuse(
        'TARGET_FORBIDDEN',
        `targets[${i}].host`,
        `${address.text} is ${forbidden}, to which nothing is forwarded; name the address of the host that offers the service`,
      );
    else if (isOwn(address, facts))
      found.refuse(
        'TARGET_IS_GATEWAY',
        `targets[${i}].host`,
        `${address.text} is an address of this gateway; let the service listen on the wanted port itself, or name another host`,
      );
  });
}

function checkListener(forward: DesiredForward, facts: HostFacts, found: Refusals): void {
  const { takeover } = forward.spec;
  checkInterface(forward, facts, found);
  checkAnnounced(forward, facts, found);
  const claimed = facts.protected.filter((p) => claims(forward, p, facts));
  for (const p of claimed) {
    if (p.kind === 'ssh' && takeover) found.overruled.push(p);
    else
      found.refuse(
        'PROTECTED',
        'listen.ports',
        p.kind === 'ssh'
          ? `${p.protocol} port ${p.port} is ${p.reason}, and taking it could lock everybody out; choose another port or address, or set takeover`
          : `${p.protocol} port ${p.port} of ${p.address?.text ?? 'the gateway'} is ${p.reason}, which no forward may take; choose another port or address`,
      );
  }
  if (takeover) return;
  const isProtected = (s: LocalSocket) => claimed.some((p) => p.protocol === s.protocol && p.port === s.port);
  const socket = facts.sockets.find((s) => claims(forward, s, facts) && !isProtected(s));
  if (socket)
    found.refuse(
      'PORT_IN_USE',
      'listen.ports',
      `${socket.protocol} port ${socket.port} is in use on this gateway by ${socket.owner ?? 'a local program'} (${socket.address?.text ?? '*'}); stop it, choose another port, or set takeover`,
    );
}

export function checkInterface({ spec: { listen } }: DesiredForward, facts: HostFacts, found: Refusals): void {
  if (listen.interface !== undefined && !facts.interfaces.includes(listen.interface))
    found.refuse(
      'INTERFACE_UNKNOWN',
      'listen.interface',
      `this gateway has no interface ${listen.interface}; it has ${facts.interfaces.join(', ') || 'none'}`,
    );
}

/** An address that the gateway has anyway needs nobody to announce it. */
export function checkAnnounced({ spec }: DesiredForward, facts: HostFacts, found: Refusals): void {
  const { announce, address, interface: iface } = spec.listen;
  if (!announce || !address || isOwn(address, facts)) return;
  const neighbours = facts.addresses.filter((a) => !a.announced && contains(networkOf(a.address, a.prefix), address));
  const on = iface ?? neighbours[0]?.interface;
  if (on === undefined)
    found.refuse(
      'ANNOUNCE_NO_NETWORK',
      'listen.announce',
      `${address.text} lies in no network that this gateway is connected to, so nobody would ask for it; name the interface, or route the address here and leave announce out`,
    );
  found.announceOn = on;
}

/** What speaks against carrying an egress. */
export function egressRefusals({ spec }: DesiredEgress, facts: HostFacts, can: DriverCapabilities | undefined): Refusals {
  const found = new Refusals();
  const family = familyOfEgress(spec);
  if (!can) found.refuse('RELAY_CANNOT', 'sources', 'this gateway has nothing but the relay, which carries no egress');
  else if (!can.egress || !can.families.includes(family))
    found.refuse('NOT_SUPPORTED_YET', 'sources', `the driver of this gateway cannot translate what leaves over IPv${family}`);
  if (!facts.interfaces.includes(spec.outInterface))
    found.refuse(
      'INTERFACE_UNKNOWN',
      'out_interface',
      `this gateway has no interface ${spec.outInterface}; it has ${facts.interfaces.join(', ') || 'none'}`,
    );
  if (spec.snat.mode === 'address') checkSource(spec.snat.address, facts, found);
  return found;
}

/** Whether the forward's listener would take traffic from what waits at `other`. */
export function claims(
  { spec }: DesiredForward,
  other: { readonly protocol: 'tcp' | 'udp'; readonly address?: IpAddress; readonly port: number },
  facts: HostFacts,
): boolean {
  const { address, protocol, ports } = spec.listen;
  if (!transports(protocol).includes(other.protocol)) return false;
  if (ports && (other.port < ports.first || other.port > ports.last)) return false;
  // What waits on loopback is not reached by what a forward takes.
  if (other.address && isLoopback(other.address)) return false;
  if (other.address) return address ? address.text === other.address.text : isOwn(other.address, facts);
  // A wildcard socket has only the gateway's own addresses; a virtual address elsewhere is not among them.
  return address === undefined || isOwn(address, facts);
}

export function checkSnat({ spec }: DesiredForward, facts: HostFacts, found: Refusals): void {
  if (spec.snat.mode === 'address') checkSource(spec.snat.address, facts, found);
}

function checkSource(address: IpAddress, facts: HostFacts, found: Refusals): void {
  if (isOwn(address, facts)) return;
  const alike = facts.addresses.filter((a) => !a.announced && a.address.family === address.family);
  const own = [...new Set(alike.map((a) => a.address.text))];
  found.refuse(
    'SNAT_ADDRESS_UNKNOWN',
    'snat.address',
    `${address.text} is not an address of this gateway, so replies would not return; use one of ${own.join(', ') || 'its own, of which it has none'}, or masquerade`,
  );
}
