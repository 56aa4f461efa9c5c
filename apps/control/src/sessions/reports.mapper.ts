import { type JsonValue, toJson } from '@bufbuild/protobuf';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import {
  type EventReport,
  type Hello,
  type PlacementReport,
  PlacementReportSchema,
  type StatusReport,
} from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { type Capability, CapabilitySchema } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { ConditionSchema, DriftSchema } from '@gwctl/proto/gwctl/v1/types_pb';
import { parseUid } from '@gwctl/shared/domain/names';
import { placementStateWords } from '@gwctl/shared/wire/words';
import type { NewEvent } from '../events/events.repository.js';
import type { ReportUpdate } from '../status/report-writer.js';
import type { PlacementReportRecord } from '../status/reports.repository.js';
import { cleanJson, cleanText } from '../status/untrusted-text.js';
import type { AgentFacts } from './sessions.repository.js';

/** The most capabilities and conditions that are kept of one gateway. */
const MAX_FACTS = 200;
/** How far an event's time may lie from ours before ours is taken. */
const MAX_CLOCK_DIFFERENCE_MS = 86_400_000;

/** What is kept of a placement's report; undefined for one that cannot be an agent's word. */
function placementReport(report: PlacementReport): PlacementReportRecord | undefined {
  const state = placementStateWords.fromWire(report.state);
  if (!parseUid(report.forwardUid).ok || state === undefined || state === 'UNKNOWN') return undefined;
  return {
    entryUid: report.forwardUid,
    generation: report.generation,
    state,
    report: cleanJson(toJson(PlacementReportSchema, report)),
  };
}

export function placementReports(reports: readonly PlacementReport[]): readonly PlacementReportRecord[] {
  return reports.map(placementReport).filter((r) => r !== undefined);
}

export function statusUpdate(status: StatusReport): ReportUpdate {
  return {
    spoke: true,
    complete: status.complete,
    placements: placementReports(status.placements),
    ...(status.driver === '' ? {} : { driver: cleanText(status.driver) }),
    ...(status.capabilities.length === 0 ? {} : { capabilities: capabilities(status.capabilities) }),
    ...(status.hasConditions
      ? { conditions: cleanJson(status.conditions.slice(0, MAX_FACTS).map((c) => toJson(ConditionSchema, c))) }
      : {}),
  };
}

export function agentFacts(hello: Hello): AgentFacts {
  return {
    agentVersion: cleanText(hello.agentVersion),
    hostname: cleanText(hello.hostname),
    kernel: cleanText(hello.kernel),
    driver: cleanText(hello.driver),
    capabilities: capabilities(hello.capabilities),
    instance: cleanText(hello.instanceId),
  };
}

export function newEvent(gatewayUid: string, event: EventReport, now: number): NewEvent {
  const claimed = event.time ? timestampDate(event.time).getTime() : now;
  const time = Math.abs(claimed - now) > MAX_CLOCK_DIFFERENCE_MS ? now : claimed;
  return {
    time: new Date(time),
    gatewayUid,
    entryUid: parseUid(event.forwardUid).ok ? event.forwardUid : undefined,
    reason: /^[A-Z][A-Z0-9_]{0,62}$/.test(event.reason) ? event.reason : 'UNSPECIFIED',
    message: cleanText(event.message),
    drift: event.drift ? cleanJson(toJson(DriftSchema, event.drift)) : undefined,
  };
}

const capabilities = (all: readonly Capability[]): JsonValue =>
  cleanJson(all.slice(0, MAX_FACTS).map((c) => toJson(CapabilitySchema, c))) as JsonValue;
