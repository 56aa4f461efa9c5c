import { fromJson, type JsonValue, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { CapabilitySchema, type GatewaySchema, type Gateway as WireGateway } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { ConditionSchema } from '@gwctl/proto/gwctl/v1/types_pb';
import { parseLabels, parseName } from '@gwctl/shared/domain/names';
import { ViolationList } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';
import { etagOf } from '../resources/etag.js';
import type { GatewayRecord } from './gateways.repository.js';

/** What a user says about a gateway, checked. */
export interface CheckedGateway {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly cordoned: boolean;
}

export function parseGateway(wire: WireGateway | undefined): CheckedGateway {
  if (!wire) throw AppError.invalid([{ field: 'gateway', description: 'is missing' }]);
  const bad = new ViolationList();
  const name = bad.take('name', parseName(wire.name));
  const labels = bad.take('labels', parseLabels(wire.labels));
  if (name === undefined || labels === undefined) throw AppError.invalid(bad.items);
  return { name, labels, cordoned: wire.cordoned };
}

export function gatewayToWire(record: GatewayRecord): MessageInitShape<typeof GatewaySchema> {
  const { status } = record;
  return {
    name: record.name,
    uid: record.uid,
    etag: etagOf(record),
    createTime: timestampFromDate(record.createTime),
    updateTime: timestampFromDate(record.updateTime),
    labels: { ...record.labels },
    cordoned: record.cordoned,
    status: {
      connected: status.connected,
      ...(status.connectTime ? { connectedTime: timestampFromDate(status.connectTime) } : {}),
      ...(status.lastSeenTime ? { lastSeenTime: timestampFromDate(status.lastSeenTime) } : {}),
      enrolled: status.enrolled,
      revision: status.revision,
      acceptedRevision: status.acceptedRevision,
      appliedRevision: status.appliedRevision,
      agentVersion: status.agentVersion,
      hostname: status.hostname,
      kernel: status.kernel,
      driver: status.driver,
      capabilities: (status.capabilities as JsonValue[]).map((c) => fromJson(CapabilitySchema, c, { ignoreUnknownFields: true })),
      conditions: (status.conditions as JsonValue[]).map((c) => fromJson(ConditionSchema, c, { ignoreUnknownFields: true })),
      forwards: status.forwards,
    },
  };
}
