import type { Placement } from '@gwctl/proto/gwctl/v1/forward_pb';
import type { Listener, ResolvedTarget } from '@gwctl/proto/gwctl/v1/types_pb';
import { placementStateWords, protocolWords, targetHealthWords } from '@gwctl/shared/wire/words';
import type { ListenerResource, PlacementResource, ResolvedTargetResource } from '../resources/placement.js';
import { count, optionalText, optionalTime, toCondition, toDrift, toViolation, wordOr } from './common-mapper.js';

export function toListener(l: Listener): ListenerResource {
  return {
    ...optionalText('address', l.address),
    ...optionalText('interface', l.interface),
    protocol: wordOr(protocolWords.fromWire(l.protocol), l.protocol),
    ...(l.ports ? { ports: l.ports.first === l.ports.last ? `${l.ports.first}` : `${l.ports.first}-${l.ports.last}` } : {}),
    ...(l.announce ? { announce: true } : {}),
  };
}

export function toPlacement(p: Placement): PlacementResource {
  return {
    gateway: p.gateway,
    state: wordOr(placementStateWords.fromWire(p.state), p.state),
    observedGeneration: count(p.observedGeneration),
    revision: count(p.revision),
    ...optionalTime('reportTime', p.reportTime),
    ...optionalText('driver', p.driver),
    ...(p.listen ? { listen: toListener(p.listen) } : {}),
    targets: p.targets.map(toResolvedTarget),
    ...optionalText('clientAddress', p.clientAddress),
    ...(p.counters
      ? {
          counters: {
            packets: count(p.counters.packets),
            bytes: count(p.counters.bytes),
            flows: count(p.counters.flows),
            refused: count(p.counters.refused),
          },
        }
      : {}),
    ...(p.drift ? { drift: toDrift(p.drift) } : {}),
    conditions: p.conditions.map(toCondition),
    violations: p.violations.map(toViolation),
  };
}

const toResolvedTarget = (t: ResolvedTarget): ResolvedTargetResource => ({
  host: t.host,
  address: t.address,
  port: t.port,
  health: wordOr(targetHealthWords.fromWire(t.health), t.health),
  ...(t.rttUs > 0 ? { rttMicros: t.rttUs } : {}),
});
