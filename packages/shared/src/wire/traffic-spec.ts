import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import type { DesiredForward } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import type { ForwardSpec as WireForwardSpec } from '@gwctl/proto/gwctl/v1/forward_pb';
import { type AllowSource, type Host, type Listener, type RawTrafficSpec, type TrafficSpec } from '../domain/forward.js';
import { formatCidr } from '../domain/ip.js';
import type { RawRelayOptions } from '../domain/relay-options.js';
import {
  affinityWords,
  driverWords,
  healthCheckWords,
  helperWords,
  onChangeWords,
  protocolWords,
  proxyProtocolWords,
  snatWords,
} from './words.js';

/** The wire's traffic part, as an operator's spec or an agent's desired forward, ready for {@link parseTrafficSpec}. */
export function rawTrafficSpec(wire: WireForwardSpec | DesiredForward): RawTrafficSpec {
  const { listen, snat, expires, relay } = wire;
  return {
    listen: listen && {
      address: listen.address,
      interface: listen.interface,
      protocol: protocolWords.fromWire(listen.protocol),
      ports: listen.ports && { first: listen.ports.first, last: listen.ports.last },
      announce: listen.announce,
    },
    targets: wire.targets.map((t) => ({ host: t.host, port: t.port, weight: t.weight })),
    allowSources: wire.allowSources,
    snat: snat && { mode: snatWords.fromWire(snat.mode), address: snat.address },
    driver: driverWords.fromWire(wire.driver),
    onChange: onChangeWords.fromWire(wire.onChange),
    enabled: wire.enabled,
    expires: expires && timestampMs(expires),
    takeover: wire.takeover,
    affinity: affinityWords.fromWire(wire.affinity),
    helper: helperWords.fromWire(wire.helper),
    clampMss: wire.clampMss,
    healthCheck: wire.healthCheck && {
      mode: healthCheckWords.fromWire(wire.healthCheck.mode),
      port: wire.healthCheck.port,
    },
    relay: relay && {
      proxyProtocol: proxyProtocolWords.fromWire(relay.proxyProtocol),
      connectTimeout: relay.connectTimeoutSeconds,
      tcpIdleTimeout: relay.tcpIdleTimeoutSeconds,
      udpIdleTimeout: relay.udpIdleTimeoutSeconds,
      maxConnections: relay.maxConnections,
      maxConnectionsPerClient: relay.maxConnectionsPerClient,
    },
  };
}

/** The checked traffic part as the fields that both wire messages share, in canonical form. */
export function wireTrafficSpec(spec: TrafficSpec) {
  return {
    listen: wireListener(spec.listen),
    targets: spec.targets.map((t) => ({ host: formatHost(t.host), port: t.port ?? 0, weight: t.weight })),
    allowSources: spec.allowSources.map(formatAllowSource),
    snat: { mode: snatWords.toWire(spec.snat.mode), address: spec.snat.mode === 'address' ? spec.snat.address.text : '' },
    driver: driverWords.toWire(spec.driver),
    onChange: onChangeWords.toWire(spec.onChange),
    enabled: spec.enabled,
    ...(spec.expires === undefined ? {} : { expires: timestampFromMs(spec.expires) }),
    takeover: spec.takeover,
    affinity: affinityWords.toWire(spec.affinity),
    helper: helperWords.toWire(spec.helper),
    clampMss: spec.clampMss,
    healthCheck: { mode: healthCheckWords.toWire(spec.healthCheck.mode), port: spec.healthCheck.port ?? 0 },
    // Left out where nothing is asked for: the bytes of all other forwards, and so their digests, stay what they were.
    ...(spec.relay ? { relay: wireRelayOptions(spec.relay) } : {}),
  };
}

/** What is left out, or undefined, is sent as its default. */
export function wireRelayOptions(relay: { readonly [K in keyof RawRelayOptions]?: RawRelayOptions[K] | undefined }) {
  return {
    proxyProtocol: proxyProtocolWords.toWire(relay.proxyProtocol ?? 'none'),
    connectTimeoutSeconds: relay.connectTimeout ?? 0,
    tcpIdleTimeoutSeconds: relay.tcpIdleTimeout ?? 0,
    udpIdleTimeoutSeconds: relay.udpIdleTimeout ?? 0,
    maxConnections: relay.maxConnections ?? 0,
    maxConnectionsPerClient: relay.maxConnectionsPerClient ?? 0,
  };
}

export function wireListener(listen: Listener) {
  return {
    address: listen.address?.text ?? '',
    interface: listen.interface ?? '',
    protocol: protocolWords.toWire(listen.protocol),
    ...(listen.ports ? { ports: { first: listen.ports.first, last: listen.ports.last } } : {}),
    announce: listen.announce,
  };
}

export const formatHost = (host: Host): string => (host.kind === 'ip' ? host.address.text : host.name);

export const formatAllowSource = (source: AllowSource): string =>
  source.kind === 'cidr' ? formatCidr(source.cidr) : source.name;
