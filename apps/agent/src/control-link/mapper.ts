/** Where the domain of the agent and the messages of gwctl.agent.v1 meet. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationMs, timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import {
  EventReportSchema,
  type HelloSchema,
  type PlacementReport,
  PlacementReportSchema,
  type SessionRequestSchema,
  type SessionResponse,
} from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { ConditionSchema, type DriftSchema } from '@gwctl/proto/gwctl/v1/types_pb';
import type { Condition, Counters, Drift } from '@gwctl/shared/domain/status';
import { wireListener } from '@gwctl/shared/wire/traffic-spec';
import { conditionStatusWords, driftCauseWords, placementStateWords, targetHealthWords } from '@gwctl/shared/wire/words';
import type { Held } from '../desired/types.js';
import { fromWire } from '../desired/wire-entry.js';
import type { AgentEvent, PlacementStatus } from '../reconciler/placement-status.js';
import type { Inbound } from './session-core.js';

export type Outbound = MessageInitShape<typeof SessionRequestSchema>;

/** Something that this host was found to support, or not. */
export interface Capability {
  readonly name: string;
  readonly supported: boolean;
  readonly detail: string;
}

/** What the agent says of itself and its host when a session begins. */
export interface About {
  readonly gatewayUid: string;
  readonly agentVersion: string;
  readonly hostname: string;
  readonly kernel: string;
  readonly driver: string;
  readonly capabilities: readonly Capability[];
  /** Random per start of the agent. */
  readonly instanceId: string;
}

/** Revisions are counters that begin at 1 in each epoch; one that JavaScript cannot count to did not come from a control plane. */
function revisionOf(value: bigint): number {
  const revision = Number(value);
  return Number.isSafeInteger(revision) ? revision : Number.NaN;
}

export function readInbound({ message }: SessionResponse): Inbound {
  switch (message.case) {
    case 'welcome': {
      const { sessionId, epoch, gateway, controlVersion, time } = message.value;
      return { kind: 'welcome', sessionId, epoch, gateway, controlVersion, ...(time ? { time: timestampMs(time) } : {}) };
    }
    case 'resume':
      return { kind: 'resume', revision: revisionOf(message.value.revision) };
    case 'snapshotBegin': {
      const { revision, forwards, digest, allowMassRemoval } = message.value;
      return {
        kind: 'snapshot-begin',
        revision: revisionOf(revision),
        forwards,
        digest: new Uint8Array(digest),
        allowMassRemoval,
      };
    }
    case 'snapshotPart':
      return { kind: 'snapshot-codec', entries: message.value.entries.map(fromWire) };
    case 'snapshotEnd':
      return { kind: 'snapshot-end', revision: revisionOf(message.value.revision) };
    case 'change': {
      const { fromRevision, revision, upserts, removals, digest } = message.value;
      return {
        kind: 'change',
        change: {
          from: revisionOf(fromRevision),
          revision: revisionOf(revision),
          upserts: upserts.map(fromWire),
          removals,
          digest: new Uint8Array(digest),
        },
      };
    }
    case 'goAway': {
      const { reconnectAfter, reason } = message.value;
      return { kind: 'go-away', reconnectAfter: reconnectAfter ? durationMs(reconnectAfter) : 0, reason };
    }
    default:
      return { kind: 'unknown' };
  }
}

export function hello(about: About, held: Held | undefined, appliedRevision: number): Outbound {
  const value: MessageInitShape<typeof HelloSchema> = {
    ...about,
    capabilities: about.capabilities.map((c) => ({ ...c })),
    epoch: held?.epoch ?? '',
    acceptedRevision: BigInt(held?.revision ?? 0),
    appliedRevision: BigInt(appliedRevision),
    ...(held ? { digest: held.digest } : {}),
  };
  return { message: { case: 'hello', value } };
}

export function accepted(held: Held): Outbound {
  const { epoch, revision, digest } = held;
  return { message: { case: 'accepted', value: { epoch, revision: BigInt(revision), digest } } };
}

export function applied(epoch: string, revision: number, placements: readonly PlacementReport[]): Outbound {
  return { message: { case: 'applied', value: { epoch, revision: BigInt(revision), placements: [...placements] } } };
}

export function statusReport(report: {
  readonly placements?: readonly PlacementReport[];
  readonly complete?: boolean;
  readonly conditions?: readonly Condition[];
  readonly about?: Pick<About, 'capabilities' | 'driver'>;
  readonly revision: number;
}): Outbound {
  return {
    message: {
      case: 'status',
      value: {
        placements: [...(report.placements ?? [])],
        complete: report.complete ?? false,
        hasConditions: report.conditions !== undefined,
        conditions: (report.conditions ?? []).map((c) => wireCondition(c, report.revision)),
        capabilities: (report.about?.capabilities ?? []).map((c) => ({ ...c })),
        driver: report.about?.driver ?? '',
      },
    },
  };
}

export function eventReport(event: AgentEvent): Outbound {
  const value = create(EventReportSchema, {
    time: timestampFromMs(event.time),
    forwardUid: event.uid ?? '',
    reason: event.reason,
    message: event.message,
    ...(event.drift ? { drift: wireDrift(event.drift) } : {}),
  });
  return { message: { case: 'event', value } };
}

export function placementReport(status: PlacementStatus, revision: number): PlacementReport {
  return create(PlacementReportSchema, {
    forwardUid: status.uid,
    generation: BigInt(status.generation),
    state: placementStateWords.toWire(status.state),
    driver: status.driver ?? '',
    ...(status.listen ? { listen: wireListener(status.listen) } : {}),
    targets: status.targets.map(({ host, address, port, health }) => ({
      host,
      address,
      port,
      health: targetHealthWords.toWire(health?.state ?? 'unknown'),
      rttUs: Math.min(health?.rttUs ?? 0, MOST_RTT_US),
    })),
    ...(status.counters ? { counters: wireCounters(status.counters) } : {}),
    ...(status.drift ? { drift: wireDrift(status.drift) } : {}),
    conditions: wireConditions(status.conditions, revision),
    violations: status.violations.map((v) => ({ field: v.field, description: v.description })),
    clientAddress: status.clientAddress,
  });
}

/** At least the bytes that the report of a status takes: what can be long is counted, the rest is small. */
export function reportWeight({ targets, conditions, violations, drift, clientAddress }: PlacementStatus): number {
  let bytes = FIXED_WEIGHT + Buffer.byteLength(clientAddress);
  for (const t of targets) bytes += LINE_WEIGHT + t.host.length + t.address.length;
  for (const c of conditions) bytes += LINE_WEIGHT + c.type.length + c.reason.length + Buffer.byteLength(c.message);
  for (const v of violations) bytes += LINE_WEIGHT + Buffer.byteLength(v.field) + Buffer.byteLength(v.description);
  if (drift)
    bytes += 2 * LINE_WEIGHT + [drift.object, drift.message, drift.process ?? ''].reduce((a, t) => a + Buffer.byteLength(t), 0);
  return bytes;
}

/** Uid, numbers, words, listener and counters; and what surrounds the texts of one target, condition or violation. */
const FIXED_WEIGHT = 208;
const LINE_WEIGHT = 40;

/** Most are well since the same moment, and share the list that says so. */
function wireConditions(conditions: PlacementStatus['conditions'], revision: number): PlacementReport['conditions'] {
  if (lastConditions?.of !== conditions || lastConditions.revision !== revision)
    lastConditions = {
      of: conditions,
      revision,
      wire: conditions.map((c) => create(ConditionSchema, wireCondition(c, revision))),
    };
  return lastConditions.wire;
}

let lastConditions:
  | { readonly of: PlacementStatus['conditions']; readonly revision: number; readonly wire: PlacementReport['conditions'] }
  | undefined;

/** A field of 32 bits. */
const MOST_RTT_US = 2 ** 32 - 1;

const wireCounters = ({ packets, bytes, flows, refused }: Counters) => ({
  packets: BigInt(packets),
  bytes: BigInt(bytes),
  flows: BigInt(flows),
  refused: BigInt(refused),
});

function wireCondition(c: Condition, revision: number): MessageInitShape<typeof ConditionSchema> {
  return {
    type: c.type,
    status: conditionStatusWords.toWire(c.status),
    reason: c.reason,
    message: c.message,
    transitionTime: timestampFromMs(c.since),
    revision: BigInt(revision),
  };
}

function wireDrift(d: Drift): MessageInitShape<typeof DriftSchema> {
  return {
    cause: driftCauseWords.toWire(d.cause),
    object: d.object,
    message: d.message,
    detectedTime: timestampFromMs(d.detected),
    ...(d.repaired === undefined ? {} : { repairedTime: timestampFromMs(d.repaired) }),
    process: d.process ?? '',
  };
}
