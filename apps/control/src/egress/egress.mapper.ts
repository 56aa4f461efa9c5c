import { create, fromJson, type JsonValue, type MessageInitShape, toBinary, toJson } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { DesiredEgressSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import {
  type EgressSchema,
  EgressSpecSchema,
  type Egress as WireEgress,
  type EgressSpec as WireSpec,
} from '@gwctl/proto/gwctl/v1/egress_pb';
import { type EgressSpec, parseEgressSpec } from '@gwctl/shared/domain/egress';
import { parseNotes } from '@gwctl/shared/domain/forward';
import { parseLabels, parseName } from '@gwctl/shared/domain/names';
import { ViolationList } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';
import { rawEgressSpec, wireEgressSpec } from '@gwctl/shared/wire/egress-spec';
import { etagOf } from '../resources/etag.js';
import { placementToWire } from '../status/placement.mapper.js';
import type { PlacementState } from '../status/placement-states.repository.js';
import type { EgressRecord } from './egress.repository.js';

/** What a user asked for, checked. */
export interface CheckedEgress {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly description: string;
  readonly owner: string;
  readonly gateway: string;
  readonly spec: EgressSpec;
}

/** Checks an egress as it came over the wire. Throws INVALID_ARGUMENT with every violation. */
export function parseEgress(wire: WireEgress): CheckedEgress {
  const bad = new ViolationList();
  const name = bad.take('name', parseName(wire.name));
  const labels = bad.take('labels', parseLabels(wire.labels));
  const { spec } = wire;
  if (!spec) {
    bad.add('spec', 'is missing; say what is translated');
    throw AppError.invalid(bad.items);
  }
  const gateway =
    spec.gateway === ''
      ? void bad.add('spec.gateway', 'is missing; name the gateway that carries the egress')
      : bad.take('spec.gateway', parseName(spec.gateway));
  const notes = parseNotes({ description: spec.description, owner: spec.owner }, 'spec.');
  if (!notes.ok) bad.items.push(...notes.error);
  const traffic = parseEgressSpec(rawEgressSpec(spec), 'spec.');
  if (!traffic.ok) bad.items.push(...traffic.error);
  if (bad.items.length > 0 || name === undefined || labels === undefined || !gateway || !notes.ok || !traffic.ok)
    throw AppError.invalid(bad.items);
  return { name, labels, gateway, ...notes.value, spec: traffic.value };
}

/** In the form that is stored. */
export function specToJson({ description, owner, gateway, spec }: CheckedEgress): JsonValue {
  return toJson(EgressSpecSchema, create(EgressSpecSchema, { description, owner, gateway, ...wireEgressSpec(spec) }));
}

/** Fields that a later version wrote are kept out of sight instead of failing the read. */
export const specFromJson = (json: unknown): WireSpec =>
  fromJson(EgressSpecSchema, json as JsonValue, { ignoreUnknownFields: true });

/** What the gateway is told about an egress: the bytes that are hashed, stored and sent. */
export function desiredBytes({ uid, name, generation }: Pick<EgressRecord, 'uid' | 'name' | 'generation'>, spec: EgressSpec) {
  return toBinary(DesiredEgressSchema, create(DesiredEgressSchema, { uid, name, generation, ...wireEgressSpec(spec) }));
}

/** An egress as operators see it. */
export function egressToWire(record: EgressRecord, state: PlacementState | undefined): MessageInitShape<typeof EgressSchema> {
  return {
    name: record.name,
    uid: record.uid,
    etag: etagOf(record),
    createTime: timestampFromDate(record.createTime),
    updateTime: timestampFromDate(record.updateTime),
    labels: { ...record.labels },
    spec: specFromJson(record.spec),
    ...(state ? { placement: placementToWire(state) } : {}),
    generation: record.generation,
  };
}
