import { familiesOf, isLoopback, LOOPBACK } from '@gwctl/shared/domain/carriers';
import { familyOf, transports } from '@gwctl/shared/domain/forward';
import { type Family, mergeCidrs, networkOf } from '@gwctl/shared/domain/ip';
import { CONNECT_TIMEOUT, TCP_IDLE_TIMEOUT, UDP_IDLE_TIMEOUT } from '@gwctl/shared/domain/relay-options';
import type { RelayTarget } from '../relay/types.js';
import type { Carrier } from './carrier.js';
import { allowed } from './place.js';
import { leadsBack } from './relay-refusals.js';
import { resolveTargets, type TargetQuestion } from './targets.js';
import type { DesiredForward, HostFacts, PlacedRelayed, PlacedTarget, RelayCapabilities, Verdict } from './types.js';

export type RelayedQuestion = Omit<TargetQuestion, 'spec' | 'family' | 'most' | 'eitherFamily' | 'leadsBack'> & {
  readonly carrier: Carrier & { readonly by: 'relay' };
  readonly relay: RelayCapabilities;
};

/** The verdict on a forward that the relay is to carry, and against which nothing speaks. */
export function placeRelayed(forward: DesiredForward, key: string, question: RelayedQuestion): Verdict {
  const { spec } = forward;
  const { carrier, relay } = question;
  const family = familyOf(spec);
  const resolved = resolveTargets({
    ...question,
    spec,
    family,
    most: relay.targets,
    eitherFamily: true,
    leadsBack: (target) => leadsBack(spec.listen, target, question.facts),
  });
  const { placed, used, down, views, remarks } = resolved;
  if (placed.length === 0) return { kind: 'wait', remarks };
  const families = familiesOf(spec).filter((f) => relay.families.includes(f));
  const allow = withGateway(allowed(forward, families, question), families, question.facts);
  const { address, interface: iface, protocol, ports } = spec.listen;
  if (!ports) throw new Error(`forward ${forward.uid} has no ports, which the relay cannot carry`);
  const { snat } = spec;
  const one: PlacedRelayed = {
    uid: forward.uid,
    generation: forward.generation,
    key,
    listen: {
      ...(address ? { address } : {}),
      families,
      ...(iface === undefined ? {} : { interface: iface }),
      transports: transports(protocol),
      ports,
    },
    targets: placed.map(relayTarget),
    down: down.map(relayTarget),
    affinity: spec.affinity,
    ...(allow.networks ? { allow: allow.networks } : {}),
    ...(snat.mode === 'address' ? { source: snat.address } : {}),
    onChange: spec.onChange,
    ...limits(forward),
  };
  return {
    kind: 'relay',
    forward: one,
    reason: carrier.reason,
    because: carrier.because,
    clientAddress: clientAddress(one),
    targets: views,
    addresses: used,
    remarks: [...remarks, ...allow.remarks],
  };
}

/** Whoever is on the gateway is no outsider: the kernel lets it in whatever the list says, and so does the relay. */
function withGateway(allow: ReturnType<typeof allowed>, families: readonly Family[], facts: HostFacts): typeof allow {
  if (!allow.networks) return allow;
  const own = facts.addresses.filter((a) => !a.announced && families.includes(a.address.family) && !isLoopback(a.address));
  const networks = own.map((a) => networkOf(a.address, a.address.family === 4 ? 32 : 128));
  const loopback = LOOPBACK.filter((n) => families.includes(n.family));
  return { ...allow, networks: mergeCidrs([...allow.networks, ...networks, ...loopback]) };
}

/** Seconds of the spec, as milliseconds. */
function limits({ spec: { relay = {} } }: DesiredForward) {
  const { proxyProtocol, maxConnections, maxConnectionsPerClient } = relay;
  return {
    ...(proxyProtocol === undefined ? {} : { proxyProtocol }),
    connectTimeout: 1_000 * (relay.connectTimeout ?? CONNECT_TIMEOUT),
    tcpIdleTimeout: 1_000 * (relay.tcpIdleTimeout ?? TCP_IDLE_TIMEOUT),
    udpIdleTimeout: 1_000 * (relay.udpIdleTimeout ?? UDP_IDLE_TIMEOUT),
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(maxConnectionsPerClient === undefined ? {} : { maxConnectionsPerClient }),
  };
}

function relayTarget({ address, port, weight }: PlacedTarget): RelayTarget {
  if (port === undefined) throw new Error(`target ${address.text} has no port`);
  return { address, port, weight };
}

/** Whether the target learns the client's address, and how; shown with the forward's status. */
function clientAddress({ proxyProtocol, source }: PlacedRelayed): string {
  if (proxyProtocol !== undefined)
    return `by the PROXY protocol header (${proxyProtocol}): connections come from the gateway's address, and the header in front of each names the client's`;
  if (source) return `no: the target sees ${source.text}, the fixed source address that the forward names`;
  return "no: the target sees the gateway's address, from which the relay opens connections of its own; the PROXY protocol would tell it the client's";
}
