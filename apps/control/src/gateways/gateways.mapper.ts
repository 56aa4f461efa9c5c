import { create, fromJson, type JsonValue, type MessageInitShape, toBinary, toJson } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { CapabilitySchema, type GatewaySchema, type Gateway as WireGateway } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { ConditionSchema, GatewaySettingsSchema, type GatewaySettings as WireSettings } from '@gwctl/proto/gwctl/v1/types_pb';
import { DEFAULT_SETTINGS, type GatewaySettings, parseGatewaySettings } from '@gwctl/shared/domain/gateway-settings';
import { parseLabels, parseName } from '@gwctl/shared/domain/names';
import { ViolationList } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';
import { rawGatewaySettings, wireGatewaySettings } from '@gwctl/shared/wire/gateway-settings';
import { etagOf } from '../resources/etag.js';
import { sameJson } from '../resources/same-json.js';
import type { GatewayRecord } from './gateways.repository.js';

/** What a user says about a gateway, checked. */
export interface CheckedGateway {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly cordoned: boolean;
  readonly settings: GatewaySettings;
}

export function parseGateway(wire: WireGateway | undefined): CheckedGateway {
  if (!wire) throw AppError.invalid([{ field: 'gateway', description: 'is missing' }]);
  const bad = new ViolationList();
  const name = bad.take('name', parseName(wire.name));
  const labels = bad.take('labels', parseLabels(wire.labels));
  const settings = parseGatewaySettings(rawGatewaySettings(wire.settings), 'settings.');
  if (!settings.ok) bad.items.push(...settings.error);
  if (name === undefined || labels === undefined || !settings.ok) throw AppError.invalid(bad.items);
  return { name, labels, cordoned: wire.cordoned, settings: settings.value };
}

/** Settings in the form that is stored: nothing where they are the defaults. */
export const settingsToJson = (settings: GatewaySettings): JsonValue =>
  sameJson(settings, DEFAULT_SETTINGS) ? {} : toJson(GatewaySettingsSchema, wireSettings(settings));

/** Settings as they stand, defaults written out. Fields that a later version wrote are kept out of sight. */
export function settingsFromJson(json: unknown): WireSettings {
  if (sameJson(json, {})) return wireSettings(DEFAULT_SETTINGS);
  return fromJson(GatewaySettingsSchema, json as JsonValue, { ignoreUnknownFields: true });
}

/** What the agent is told: the bytes that are hashed, stored and sent. Undefined: nothing, since the defaults hold. */
export const settingsBytes = (json: unknown): Uint8Array | undefined =>
  sameJson(json, {}) ? undefined : toBinary(GatewaySettingsSchema, settingsFromJson(json));

const wireSettings = (settings: GatewaySettings): WireSettings => create(GatewaySettingsSchema, wireGatewaySettings(settings));

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
      egresses: status.egresses,
    },
    settings: settingsFromJson(record.settings),
  };
}
