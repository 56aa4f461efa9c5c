import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Event } from '@gwctl/proto/gwctl/v1/event_pb';
import type { Gateway, GatewaySchema } from '@gwctl/proto/gwctl/v1/gateway_pb';
import type { GetStatusResponse } from '@gwctl/proto/gwctl/v1/system_pb';
import { DEFAULT_SETTINGS } from '@gwctl/shared/domain/gateway-settings';
import { driftPolicyWords } from '@gwctl/shared/wire/words';
import type { EventResource } from '../resources/event.js';
import type { GatewayResource } from '../resources/gateway.js';
import type { GatewayChanges } from '../resources/gateway-input.js';
import type { SystemStatusResource } from '../resources/system.js';
import { count, optionalText, optionalTime, timeText, toCondition, toDrift, wordOr } from './common-mapper.js';

export function toGateway(g: Gateway): GatewayResource {
  const { status: s, settings } = g;
  const policy = settings?.driftPolicy ?? 0;
  return {
    apiVersion: 'gwctl/v1',
    kind: 'Gateway',
    metadata: {
      name: g.name,
      labels: { ...g.labels },
      ...optionalText('uid', g.uid),
      ...optionalText('etag', g.etag),
      ...optionalTime('createTime', g.createTime),
      ...optionalTime('updateTime', g.updateTime),
    },
    spec: {
      cordoned: g.cordoned,
      driftPolicy: wordOr(driftPolicyWords.fromWire(policy), policy),
      resolvers: settings?.resolvers ?? [],
      dnsMinTtlSeconds: settings?.dnsMinTtlSeconds || DEFAULT_SETTINGS.dnsMinTtl,
      dnsMaxTtlSeconds: settings?.dnsMaxTtlSeconds || DEFAULT_SETTINGS.dnsMaxTtl,
    },
    status: {
      connected: s?.connected ?? false,
      enrolled: s?.enrolled ?? false,
      ...optionalTime('connectedTime', s?.connectedTime),
      ...optionalTime('lastSeenTime', s?.lastSeenTime),
      revision: count(s?.revision ?? 0n),
      acceptedRevision: count(s?.acceptedRevision ?? 0n),
      appliedRevision: count(s?.appliedRevision ?? 0n),
      ...optionalText('agentVersion', s?.agentVersion ?? ''),
      ...optionalText('hostname', s?.hostname ?? ''),
      ...optionalText('kernel', s?.kernel ?? ''),
      ...optionalText('driver', s?.driver ?? ''),
      forwards: s?.forwards ?? 0,
      egresses: s?.egresses ?? 0,
      capabilities: (s?.capabilities ?? []).map((c) => ({ name: c.name, supported: c.supported, detail: c.detail })),
      conditions: (s?.conditions ?? []).map(toCondition),
    },
  };
}

/** Which field each change stands for. */
const PATHS: Readonly<Record<keyof GatewayChanges, string>> = {
  driftPolicy: 'settings.drift_policy',
  resolvers: 'settings.resolvers',
  dnsMinTtl: 'settings.dns_min_ttl_seconds',
  dnsMaxTtl: 'settings.dns_max_ttl_seconds',
};

export const gatewayMaskOf = (changes: GatewayChanges): string[] =>
  (Object.keys(PATHS) as (keyof GatewayChanges)[]).filter((key) => changes[key] !== undefined).map((key) => PATHS[key]);

/** The changes as a message that holds nothing else; {@link gatewayMaskOf} says which of its fields count. */
export const fromGatewayChanges = (
  name: string,
  { driftPolicy, resolvers = [], dnsMinTtl = 0, dnsMaxTtl = 0 }: GatewayChanges,
): MessageInitShape<typeof GatewaySchema> => ({
  name,
  settings: {
    ...(driftPolicy ? { driftPolicy: driftPolicyWords.toWire(driftPolicy) } : {}),
    resolvers: [...resolvers],
    dnsMinTtlSeconds: dnsMinTtl,
    dnsMaxTtlSeconds: dnsMaxTtl,
  },
});

export const toEvent = (e: Event): EventResource => ({
  apiVersion: 'gwctl/v1',
  kind: 'Event',
  uid: e.uid,
  time: e.time ? timeText(e.time) : '',
  gateway: e.gateway,
  ...optionalText('forward', e.forward),
  ...optionalText('egress', e.egress),
  reason: e.reason,
  message: e.message,
  ...(e.drift ? { drift: toDrift(e.drift) } : {}),
});

export const toSystemStatus = (s: GetStatusResponse): SystemStatusResource => ({
  version: s.version,
  epoch: s.epoch,
  ...optionalTime('startTime', s.startTime),
  gateways: s.gateways,
  gatewaysConnected: s.gatewaysConnected,
  placements: { ...s.placements },
});
