import type { Event } from '@gwctl/proto/gwctl/v1/event_pb';
import type { Gateway } from '@gwctl/proto/gwctl/v1/gateway_pb';
import type { GetStatusResponse } from '@gwctl/proto/gwctl/v1/system_pb';
import type { EventResource } from '../resources/event.js';
import type { GatewayResource } from '../resources/gateway.js';
import type { SystemStatusResource } from '../resources/system.js';
import { count, optionalText, optionalTime, timeText, toCondition, toDrift } from './common-mapper.js';

export function toGateway(g: Gateway): GatewayResource {
  const s = g.status;
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
    spec: { cordoned: g.cordoned },
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
      capabilities: (s?.capabilities ?? []).map((c) => ({ name: c.name, supported: c.supported, detail: c.detail })),
      conditions: (s?.conditions ?? []).map(toCondition),
    },
  };
}

export const toEvent = (e: Event): EventResource => ({
  apiVersion: 'gwctl/v1',
  kind: 'Event',
  uid: e.uid,
  time: e.time ? timeText(e.time) : '',
  gateway: e.gateway,
  ...optionalText('forward', e.forward),
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
