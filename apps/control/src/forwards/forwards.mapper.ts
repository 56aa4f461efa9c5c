import { create, fromJson, type JsonValue, type MessageInitShape, toBinary, toJson } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { DesiredForwardSchema, PlacementReportSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import {
  type ForwardSchema,
  ForwardSpecSchema,
  type PlacementSchema,
  type Forward as WireForward,
  type ForwardSpec as WireSpec,
} from '@gwctl/proto/gwctl/v1/forward_pb';
import { ConditionStatus } from '@gwctl/proto/gwctl/v1/types_pb';
import { type ForwardSpec, type Placing, parseNotes, parseTrafficSpec } from '@gwctl/shared/domain/forward';
import { parseLabels, parseName } from '@gwctl/shared/domain/names';
import { ViolationList } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';
import { rawTrafficSpec, wireTrafficSpec } from '@gwctl/shared/wire/traffic-spec';
import { placementStateWords } from '@gwctl/shared/wire/words';
import { etagOf } from '../resources/etag.js';
import type { PlacementState } from '../status/placement-states.repository.js';
import type { ForwardRecord } from './forwards.repository.js';
import { portFromPool, refuseUnsupported } from './supported.js';

/** What a user asked for, checked. */
export interface CheckedForward {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: ForwardSpec;
}

/** What time it is, and which expiry stood before: an expired forward may still be changed otherwise, disabled for instance. */
export interface Moment {
  readonly now: number;
  readonly standingExpiry?: number | undefined;
}

/** Checks a forward as it came over the wire. Throws INVALID_ARGUMENT with every violation, or UNIMPLEMENTED. */
export function parseForward(wire: WireForward, moment: Moment): CheckedForward {
  const bad = new ViolationList();
  const name = bad.take('name', parseName(wire.name));
  const labels = bad.take('labels', parseLabels(wire.labels));
  if (!wire.spec) bad.add('spec', 'is missing; say what to forward');
  const spec = wire.spec && parseSpec(wire.spec, bad, moment);
  if (bad.items.length > 0 || name === undefined || labels === undefined || !spec) throw AppError.invalid(bad.items);
  refuseUnsupported(spec);
  return { name, labels, spec };
}

function parseSpec(wire: WireSpec, bad: ViolationList, { now, standingExpiry }: Moment): ForwardSpec | undefined {
  const on = parsePlacing(wire, bad);
  const notes = parseNotes({ description: wire.description, owner: wire.owner }, 'spec.');
  if (!notes.ok) bad.items.push(...notes.error);
  const raw = rawTrafficSpec(wire);
  const pool = portFromPool(raw);
  const traffic = parseTrafficSpec(raw, 'spec.');
  if (!traffic.ok) bad.items.push(...traffic.error.filter((v) => v.field !== pool?.field));
  if (pool) bad.items.push(pool);
  const expires = traffic.ok ? traffic.value.expires : undefined;
  if (expires !== undefined && expires <= now && expires !== standingExpiry)
    bad.add('spec.expires', `${new Date(expires).toISOString()} is past; choose a later time, or leave it out`);
  return on && notes.ok && traffic.ok ? { ...traffic.value, ...notes.value, on } : undefined;
}

function parsePlacing(wire: WireSpec, bad: ViolationList): Placing | undefined {
  if (wire.on.case === 'gateway') {
    const gateway = bad.take('spec.gateway', parseName(wire.on.value));
    return gateway === undefined ? undefined : { kind: 'gateway', gateway };
  }
  if (wire.on.case === 'gatewaySelector') {
    const matchLabels = bad.take('spec.gateway_selector', parseLabels(wire.on.value.matchLabels));
    return matchLabels && { kind: 'selector', matchLabels };
  }
  bad.add('spec.gateway', 'is missing; name the gateway that carries the forward');
  return undefined;
}

/** A stored spec, or a checked one, in the form that is stored. */
export function specToJson(spec: ForwardSpec): JsonValue {
  const on: MessageInitShape<typeof ForwardSpecSchema>['on'] =
    spec.on.kind === 'gateway'
      ? { case: 'gateway', value: spec.on.gateway }
      : { case: 'gatewaySelector', value: { matchLabels: { ...spec.on.matchLabels } } };
  const wire = create(ForwardSpecSchema, { description: spec.description, owner: spec.owner, on, ...wireTrafficSpec(spec) });
  return toJson(ForwardSpecSchema, wire);
}

/** Fields that a later version wrote are kept out of sight instead of failing the read. */
export const specFromJson = (json: unknown): WireSpec =>
  fromJson(ForwardSpecSchema, json as JsonValue, { ignoreUnknownFields: true });

/** What one gateway is told about a forward: the bytes that are hashed, stored and sent. */
export function desiredBytes(forward: {
  readonly uid: string;
  readonly name: string;
  readonly generation: bigint;
  readonly spec: ForwardSpec;
}): Uint8Array {
  const { uid, name, generation, spec } = forward;
  return toBinary(DesiredForwardSchema, create(DesiredForwardSchema, { uid, name, generation, ...wireTrafficSpec(spec) }));
}

/** A forward as operators see it. */
export function forwardToWire(record: ForwardRecord, states: readonly PlacementState[]): MessageInitShape<typeof ForwardSchema> {
  return {
    name: record.name,
    uid: record.uid,
    etag: etagOf(record),
    createTime: timestampFromDate(record.createTime),
    updateTime: timestampFromDate(record.updateTime),
    labels: { ...record.labels },
    spec: specFromJson(record.spec),
    placements: states.map(placementToWire),
    generation: record.generation,
  };
}

/** The agent's word beside what it was asked; where nobody observes, the state says UNKNOWN and a condition says why. */
function placementToWire(state: PlacementState): MessageInitShape<typeof PlacementSchema> {
  const report =
    state.report === undefined
      ? undefined
      : fromJson(PlacementReportSchema, state.report as JsonValue, { ignoreUnknownFields: true });
  const unobserved = {
    type: 'Observed',
    status: ConditionStatus.FALSE,
    reason: state.connected ? 'AGENT_SILENT' : 'NO_SESSION',
    message: state.connected
      ? 'the agent is connected and has not yet said how its forwards stand'
      : 'the agent of this gateway is not connected, so nobody knows how the forward stands; what the agent applied before goes on by itself',
    revision: state.revision,
  };
  return {
    gateway: state.gateway,
    state: placementStateWords.toWire(state.state),
    driver: report?.driver ?? '',
    ...(report?.listen ? { listen: report.listen } : {}),
    targets: report?.targets ?? [],
    ...(report?.counters ? { counters: report.counters } : {}),
    ...(report?.drift ? { drift: report.drift } : {}),
    conditions: [...(report?.conditions ?? []), ...(state.state === 'UNKNOWN' ? [unobserved] : [])],
    violations: report?.violations ?? [],
    revision: state.revision,
    ...(state.reportTime ? { reportTime: timestampFromDate(state.reportTime) } : {}),
    observedGeneration: state.observedGeneration ?? 0n,
    clientAddress: report?.clientAddress ?? '',
  };
}
