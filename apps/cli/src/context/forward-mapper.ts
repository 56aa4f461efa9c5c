import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type {
  Forward,
  ForwardFilterSchema,
  ForwardSchema,
  ForwardSpec as WireForwardSpec,
} from '@gwctl/proto/gwctl/v1/forward_pb';
import type { RelayOptions as WireRelayOptions } from '@gwctl/proto/gwctl/v1/types_pb';
import type { Placing } from '@gwctl/shared/domain/forward';
import { wireRelayOptions, wireTrafficSpec } from '@gwctl/shared/wire/traffic-spec';
import {
  affinityWords,
  driverWords,
  healthCheckWords,
  helperWords,
  onChangeWords,
  placementStateWords,
  protocolWords,
  proxyProtocolWords,
  snatWords,
} from '@gwctl/shared/wire/words';
import { rawTarget } from '../flags/target.js';
import type { ForwardResource, ForwardSpecResource, RelayResource } from '../resources/forward.js';
import type { ForwardChanges, NewForward } from '../resources/forward-input.js';
import { count, optionalText, optionalTime, wordOr } from './common-mapper.js';
import type { ForwardFilter } from './control-plane.js';
import { toListener, toPlacement } from './placement-mapper.js';

export function toForward(f: Forward): ForwardResource {
  return {
    apiVersion: 'gwctl/v1',
    kind: 'Forward',
    metadata: {
      name: f.name,
      labels: { ...f.labels },
      ...optionalText('uid', f.uid),
      ...optionalText('etag', f.etag),
      generation: count(f.generation),
      ...optionalTime('createTime', f.createTime),
      ...optionalTime('updateTime', f.updateTime),
    },
    spec: toSpec(f.spec),
    status: { placements: f.placements.map(toPlacement) },
  };
}

function toSpec(spec: WireForwardSpec | undefined): ForwardSpecResource {
  const { on, listen, snat, healthCheck } = spec ?? {};
  return {
    ...optionalText('description', spec?.description ?? ''),
    ...optionalText('owner', spec?.owner ?? ''),
    ...(on?.case === 'gateway' ? { gateway: on.value } : {}),
    ...(on?.case === 'gatewaySelector' ? { gatewaySelector: { ...on.value.matchLabels } } : {}),
    listen: listen ? toListener(listen) : { protocol: wordOr(undefined, 0) },
    targets: (spec?.targets ?? []).map((t) => ({
      host: t.host,
      ...(t.port === 0 ? {} : { port: t.port }),
      weight: t.weight === 0 ? 1 : t.weight,
    })),
    allowSources: spec?.allowSources ?? [],
    snat: {
      mode: wordOr(snatWords.fromWire(snat?.mode ?? 0), snat?.mode ?? 0),
      ...optionalText('address', snat?.address ?? ''),
    },
    driver: wordOr(driverWords.fromWire(spec?.driver ?? 0), spec?.driver ?? 0),
    onChange: wordOr(onChangeWords.fromWire(spec?.onChange ?? 0), spec?.onChange ?? 0),
    affinity: wordOr(affinityWords.fromWire(spec?.affinity ?? 0), spec?.affinity ?? 0),
    helper: wordOr(helperWords.fromWire(spec?.helper ?? 0), spec?.helper ?? 0),
    ...(spec?.clampMss ? { clampMss: true } : {}),
    healthCheck: {
      mode: wordOr(healthCheckWords.fromWire(healthCheck?.mode ?? 0), healthCheck?.mode ?? 0),
      ...(healthCheck?.port ? { port: healthCheck.port } : {}),
    },
    ...(spec?.relay ? { relay: toRelay(spec.relay) } : {}),
    enabled: spec?.enabled ?? false,
    ...optionalTime('expires', spec?.expires),
    ...(spec?.takeover ? { takeover: true } : {}),
  };
}

function toRelay(relay: WireRelayOptions): RelayResource {
  const { connectTimeoutSeconds, tcpIdleTimeoutSeconds, udpIdleTimeoutSeconds, maxConnections, maxConnectionsPerClient } = relay;
  const proxyProtocol = wordOr(proxyProtocolWords.fromWire(relay.proxyProtocol), relay.proxyProtocol);
  return {
    ...(proxyProtocol === 'none' ? {} : { proxyProtocol }),
    ...(connectTimeoutSeconds ? { connectTimeoutSeconds } : {}),
    ...(tcpIdleTimeoutSeconds ? { tcpIdleTimeoutSeconds } : {}),
    ...(udpIdleTimeoutSeconds ? { udpIdleTimeoutSeconds } : {}),
    ...(maxConnections ? { maxConnections } : {}),
    ...(maxConnectionsPerClient ? { maxConnectionsPerClient } : {}),
  };
}

export function fromNewForward(forward: NewForward): MessageInitShape<typeof ForwardSchema> {
  const { spec } = forward;
  return {
    name: forward.name,
    labels: { ...forward.labels },
    spec: { ...wireTrafficSpec(spec), description: spec.description, owner: spec.owner, on: fromPlacing(spec.on) },
  };
}

function fromPlacing(on: Placing) {
  return on.kind === 'gateway'
    ? ({ case: 'gateway', value: on.gateway } as const)
    : ({ case: 'gatewaySelector', value: { matchLabels: { ...on.matchLabels } } } as const);
}

/** Which fields each change stands for. */
const PATHS: Readonly<Record<keyof ForwardChanges, readonly string[]>> = {
  labels: ['labels'],
  description: ['spec.description'],
  owner: ['spec.owner'],
  on: [],
  listen: ['spec.listen.address', 'spec.listen.protocol', 'spec.listen.ports'],
  interface: ['spec.listen.interface'],
  announce: ['spec.listen.announce'],
  targets: ['spec.targets'],
  allowSources: ['spec.allow_sources'],
  snat: ['spec.snat'],
  driver: ['spec.driver'],
  onChange: ['spec.on_change'],
  enabled: ['spec.enabled'],
  expires: ['spec.expires'],
  takeover: ['spec.takeover'],
  affinity: ['spec.affinity'],
  helper: ['spec.helper'],
  clampMss: ['spec.clamp_mss'],
  healthCheck: ['spec.health_check'],
  proxyProtocol: ['spec.relay.proxy_protocol'],
  connectTimeout: ['spec.relay.connect_timeout_seconds'],
  tcpIdleTimeout: ['spec.relay.tcp_idle_timeout_seconds'],
  udpIdleTimeout: ['spec.relay.udp_idle_timeout_seconds'],
  maxConnections: ['spec.relay.max_connections'],
  maxConnectionsPerClient: ['spec.relay.max_connections_per_client'],
};

/** The field mask: exactly the fields that the changes name, so that nothing else is touched. */
export function maskOf(changes: ForwardChanges): string[] {
  const keys = (Object.keys(PATHS) as (keyof ForwardChanges)[]).filter((key) => changes[key] !== undefined);
  const on = changes.on && (changes.on.kind === 'gateway' ? ['spec.gateway'] : ['spec.gateway_selector']);
  return [...keys.flatMap((key) => PATHS[key]), ...(on ?? [])];
}

/** The changes as a message that holds nothing else; {@link maskOf} says which of its fields count. */
export function fromChanges(name: string, changes: ForwardChanges): MessageInitShape<typeof ForwardSchema> {
  const { listen, targets, snat, expires, healthCheck } = changes;
  const listener = listen !== undefined || changes.interface !== undefined || changes.announce !== undefined;
  return {
    name,
    labels: { ...changes.labels },
    spec: {
      description: changes.description ?? '',
      owner: changes.owner ?? '',
      ...(changes.on ? { on: fromPlacing(changes.on) } : {}),
      ...(listener
        ? {
            listen: {
              address: listen?.address ?? '',
              ...(listen ? { protocol: protocolWords.toWire(listen.protocol) } : {}),
              ...(listen?.ports ? { ports: { ...listen.ports } } : {}),
              interface: changes.interface ?? '',
              announce: changes.announce ?? false,
            },
          }
        : {}),
      targets: (targets ?? []).map(rawTarget),
      allowSources: [...(changes.allowSources ?? [])],
      ...(snat ? { snat: { mode: snatWords.toWire(snat.mode), address: snat.address ?? '' } } : {}),
      ...(changes.driver ? { driver: driverWords.toWire(changes.driver) } : {}),
      ...(changes.onChange ? { onChange: onChangeWords.toWire(changes.onChange) } : {}),
      enabled: changes.enabled ?? false,
      ...(typeof expires === 'number' ? { expires: timestampFromMs(expires) } : {}),
      takeover: changes.takeover ?? false,
      ...(changes.affinity ? { affinity: affinityWords.toWire(changes.affinity) } : {}),
      ...(changes.helper ? { helper: helperWords.toWire(changes.helper) } : {}),
      clampMss: changes.clampMss ?? false,
      ...(healthCheck ? { healthCheck: { mode: healthCheckWords.toWire(healthCheck.mode), port: healthCheck.port ?? 0 } } : {}),
      relay: wireRelayOptions(changes),
    },
  };
}

export const fromFilter = (filter: ForwardFilter): MessageInitShape<typeof ForwardFilterSchema> => ({
  gateway: filter.gateway ?? '',
  labels: { ...filter.labels },
  owner: filter.owner ?? '',
  ...(filter.state ? { state: placementStateWords.toWire(filter.state) } : {}),
});
