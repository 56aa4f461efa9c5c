import { fromJson, type JsonValue, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { PlacementReportSchema } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import type { PlacementSchema } from '@gwctl/proto/gwctl/v1/forward_pb';
import { ConditionStatus } from '@gwctl/proto/gwctl/v1/types_pb';
import { placementStateWords } from '@gwctl/shared/wire/words';
import type { PlacementState } from './placement-states.repository.js';

/** The agent's word beside what it was asked; where nobody observes, the state says UNKNOWN and a condition says why. */
export function placementToWire(state: PlacementState): MessageInitShape<typeof PlacementSchema> {
  const report =
    state.report === undefined
      ? undefined
      : fromJson(PlacementReportSchema, state.report as JsonValue, { ignoreUnknownFields: true });
  const unobserved = {
    type: 'Observed',
    status: ConditionStatus.FALSE,
    reason: state.connected ? 'AGENT_SILENT' : 'NO_SESSION',
    message: state.connected
      ? 'the agent is connected and has not yet said how things stand'
      : 'the agent of this gateway is not connected, so nobody knows how this stands; what the agent applied before goes on by itself',
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
