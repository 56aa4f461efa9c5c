import { familyOf, type Target, transports } from '@gwctl/shared/domain/forward';
import { type Cidr, contains, type IpAddress, parseCidr } from '@gwctl/shared/domain/ip';
import type { Violation } from '@gwctl/shared/domain/result';
import type { DesiredForward, DriverCapabilities, HostFacts, LocalSocket, ProtectedListener } from './types.js';

/** What speaks against carrying one forward on this host; `target` is set when it has exactly one usable target. */
export class Refusals {
  readonly violations: Violation[] = [];
  /** Protected listeners that the forward may take over and does. */
  readonly overruled: ProtectedListener[] = [];
  target: { readonly address: IpAddress; readonly port?: number } | undefined;
  /** UPPER_SNAKE_CASE word of the first refusal. */
  reason = '';

  refuse(reason: string, field: string, description: string): void {
    if (this.reason === '') this.reason = reason;
    this.violations.push({ field, description });
  }
}

const network = (text: string): Cidr => {
  const cidr = parseCidr(text);
  if (!cidr.ok) throw new Error(cidr.error);
  return cidr.value;
};

const LOOPBACK = [network('127.0.0.0/8'), network('::1/128')];
/** Never a target: the kernel drops loopback from the wire, and link-local holds clouds' metadata services. */
const FORBIDDEN_TARGETS: readonly { readonly network: Cidr; readonly what: string }[] = [
  ...LOOPBACK.map((n) => ({ network: n, what: 'a loopback address' })),
  { network: network('169.254.0.0/16'), what: 'a link-local address' },
  { network: network('fe80::/10'), what: 'a link-local address' },
  { network: network('0.0.0.0/8'), what: 'an address of no host' },
];

/** Everything that speaks against `forward`, so that its author sees all of it at once. */
export function refusals(forward: DesiredForward, facts: HostFacts, capabilities: DriverCapabilities): Refusals {
  const found = new Refusals();
  refuseUnsupported(forward, capabilities, found);
  checkTarget(forward, facts, found);
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
  if (spec.targets.length > 1 && !can.severalTargets)
    not('targets', `${spec.targets.length} targets are not supported by this agent yet; name one`);
  spec.targets.forEach((target, i) => {
    if (target.host.kind === 'dns')
      not(`targets[${i}].host`, `${target.host.name} is a name, which this agent does not resolve yet; write the address`);
  });
  spec.allowSources.forEach((source, i) => {
    if (source.kind === 'dns')
      not(`allow_sources[${i}]`, `${source.name} is a name, which this agent does not resolve yet; write a CIDR`);
  });
  const family = familyOf(spec);
  if (!can.families.includes(family))
    not(listen.address ? 'listen.address' : 'targets[0].host', `IPv${family} is not supported by this agent yet; use IPv4`);
  if (spec.driver !== 'auto' && spec.driver !== can.kind)
    not('driver', `driver ${spec.driver} is not available on this gateway in this version; use auto or ${can.kind}`);
}

function checkTarget({ spec }: DesiredForward, facts: HostFacts, found: Refusals): void {
  const [only, ...others] = spec.targets;
  spec.targets.forEach((target, i) => {
    const address = addressOf(target);
    if (!address) return;
    const forbidden = FORBIDDEN_TARGETS.find((f) => contains(f.network, address));
    if (forbidden)
      found.refuse(
        'TARGET_FORBIDDEN',
        `targets[${i}].host`,
        `${address.text} is ${forbidden.what}, to which nothing is forwarded; name the address of the host that offers the service`,
      );
    else if (isLocal(address, facts))
      found.refuse(
        'TARGET_IS_GATEWAY',
        `targets[${i}].host`,
        `${address.text} is an address of this gateway; let the service listen on the wanted port itself, or name another host`,
      );
  });
  const address = only && addressOf(only);
  if (only && address && others.length === 0) found.target = { address, ...(only.port === undefined ? {} : { port: only.port }) };
}

function checkListener(forward: DesiredForward, facts: HostFacts, found: Refusals): void {
  const { listen, takeover } = forward.spec;
  if (listen.interface !== undefined && !facts.interfaces.includes(listen.interface))
    found.refuse(
      'INTERFACE_UNKNOWN',
      'listen.interface',
      `this gateway has no interface ${listen.interface}; it has ${facts.interfaces.join(', ') || 'none'}`,
    );
  const { address } = listen;
  if (address && LOOPBACK.some((n) => contains(n, address)))
    found.refuse(
      'NOT_SUPPORTED_YET',
      'listen.address',
      `${address.text} is a loopback address, which only the relay could serve, and this agent has none yet; name another address of the gateway`,
    );
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

/** Whether the forward's listener would take traffic from what waits at `other`. */
function claims(
  { spec }: DesiredForward,
  other: { readonly protocol: 'tcp' | 'udp'; readonly address?: IpAddress; readonly port: number },
  facts: HostFacts,
): boolean {
  const { address, protocol, ports } = spec.listen;
  if (!transports(protocol).includes(other.protocol)) return false;
  if (ports && (other.port < ports.first || other.port > ports.last)) return false;
  // What waits on loopback is not reached by what a forward takes.
  if (other.address && LOOPBACK.some((n) => contains(n, other.address as IpAddress))) return false;
  if (other.address) return address ? address.text === other.address.text : isLocal(other.address, facts);
  // A wildcard socket has only the gateway's own addresses; a virtual address elsewhere is not among them.
  return address === undefined || isLocal(address, facts);
}

function checkSnat({ spec }: DesiredForward, facts: HostFacts, found: Refusals): void {
  if (spec.snat.mode !== 'address' || isLocal(spec.snat.address, facts)) return;
  const own = [...new Set(facts.addresses.filter((a) => a.address.family === 4).map((a) => a.address.text))];
  found.refuse(
    'SNAT_ADDRESS_UNKNOWN',
    'snat.address',
    `${spec.snat.address.text} is not an address of this gateway, so replies would not return; use one of ${own.join(', ')}, or snat auto`,
  );
}

const addressOf = (target: Target): IpAddress | undefined => (target.host.kind === 'ip' ? target.host.address : undefined);

const isLocal = (address: IpAddress, facts: HostFacts): boolean => facts.addresses.some((a) => a.address.text === address.text);
