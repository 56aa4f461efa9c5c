import { create, fromJson, type JsonValue, type MessageInitShape, toBinary, toJson } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { DesiredForwardSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import {
  type ForwardSchema,
  ForwardSpecSchema,
  type Forward as WireForward,
  type ForwardSpec as WireSpec,
} from '@gwctl/proto/gwctl/v1/forward_pb';
import { carrierViolations, familiesOf, needsRelay } from '@gwctl/shared/domain/carriers';
import {
  type ForwardSpec,
  familyOf,
  familyOfTargets,
  type Placing,
  parseNotes,
  parseTrafficSpec,
  type TrafficSpec,
} from '@gwctl/shared/domain/forward';
import { formatCidr } from '@gwctl/shared/domain/ip';
import { parseLabels, parseName } from '@gwctl/shared/domain/names';
import { ViolationList } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';
import { rawTrafficSpec, wireTrafficSpec } from '@gwctl/shared/wire/traffic-spec';
import { POOL } from '../placement/pool.js';
import { etagOf } from '../resources/etag.js';
import { placementToWire } from '../status/placement.mapper.js';
import type { PlacementState } from '../status/placement-states.repository.js';
import type { ForwardRecord } from './forwards.repository.js';
import { refuseUnsupported } from './supported.js';

/** What a user asked for, checked. */
export interface CheckedForward {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: ForwardSpec;
  /** The port in the spec only stands for a free one of the pool. */
  readonly fromPool: boolean;
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
  const ports = wire.spec?.listen?.ports;
  const fromPool = ports?.first === 0 && ports.last === 0;
  const spec = wire.spec && parseSpec(wire.spec, bad, { ...moment, fromPool });
  if (bad.items.length > 0 || name === undefined || labels === undefined || !spec) throw AppError.invalid(bad.items);
  refuseUnsupported(spec);
  return { name, labels, spec, fromPool };
}

function parseSpec(
  wire: WireSpec,
  bad: ViolationList,
  { now, standingExpiry, fromPool }: Moment & { readonly fromPool: boolean },
): ForwardSpec | undefined {
  const on = parsePlacing(wire, bad);
  const notes = parseNotes({ description: wire.description, owner: wire.owner }, 'spec.');
  if (!notes.ok) bad.items.push(...notes.error);
  const raw = rawTrafficSpec(wire);
  const standIn = { first: POOL.first, last: POOL.first };
  const traffic = parseTrafficSpec(raw.listen && fromPool ? { ...raw, listen: { ...raw.listen, ports: standIn } } : raw, 'spec.');
  if (!traffic.ok) bad.items.push(...traffic.error);
  if (traffic.ok) checkFamilies(traffic.value, bad);
  if (traffic.ok) bad.items.push(...carrierViolations(traffic.value, 'spec.'));
  const expires = traffic.ok ? traffic.value.expires : undefined;
  if (expires !== undefined && expires <= now && expires !== standingExpiry)
    bad.add('spec.expires', `${new Date(expires).toISOString()} is past; choose a later time, or leave it out`);
  return on && notes.ok && traffic.ok ? { ...traffic.value, ...notes.value, on } : undefined;
}

/**
 * Where neither the listener nor a target says which family a forward is of (a DNS name behind every address), it is IPv4, unless the
 * relay carries it. Only the whole forward tells, so it is here that what could never match is refused.
 */
function checkFamilies(spec: TrafficSpec, bad: ViolationList): void {
  const family = familyOf(spec);
  const ofClients = familiesOf(spec);
  spec.allowSources.forEach((source, i) => {
    if (source.kind === 'cidr' && !ofClients.includes(source.cidr.family))
      bad.add(
        `spec.allow_sources[${i}]`,
        `${formatCidr(source.cidr)} is IPv${source.cidr.family} but the forward is IPv${family}, so it could never match; name an IPv6 listener address for an IPv6 forward, or take both with driver relay`,
      );
  });
  // Addresses of targets were compared with it already; what a name will resolve to is of either family only behind the relay.
  const asNamed = familyOfTargets(spec.targets) === undefined && !needsRelay(spec);
  if (asNamed && spec.snat.mode === 'address' && spec.snat.address.family !== family)
    bad.add('spec.snat.address', `${spec.snat.address.text} is IPv${spec.snat.address.family} but the forward is IPv${family}`);
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

/**
 * What one gateway is told about a forward: the bytes that are hashed, stored and sent. Options of the relay come with driver relay,
 * which the forward gets anyway: an agent too old to know the options would ignore them, but refuses the driver by name.
 */
export function desiredBytes(forward: {
  readonly uid: string;
  readonly name: string;
  readonly generation: bigint;
  readonly spec: ForwardSpec;
}): Uint8Array {
  const { uid, name, generation, spec } = forward;
  const traffic = wireTrafficSpec(spec.relay ? { ...spec, driver: 'relay' } : spec);
  return toBinary(DesiredForwardSchema, create(DesiredForwardSchema, { uid, name, generation, ...traffic }));
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
