import type { PlacementResource } from '../resources/placement.js';
import { conditionLines, driftText, fieldLines, timeWithDistance } from './description.js';
import { formatBytes, grouped } from './numbers.js';
import { listenerText, resolvedText, stateOf } from './placement-view.js';

/** How something stands on one gateway, for people to read. */
export function describePlacement(p: PlacementResource, generation: number, now: number): string[] {
  const state = stateOf(p, generation);
  const was = state === p.state ? '' : ` (the agent has only spoken of generation ${p.observedGeneration}: ${p.state})`;
  const lines = [
    ...fieldLines([[`On ${p.gateway}`, `${state}${was}`]]),
    ...fieldLines(
      [
        ['Driver', driverText(p)],
        ['Listener', p.listen ? `${listenerText(p.listen)}${onInterface(p.listen.interface)}` : undefined],
        ['Targets', p.targets.map(resolvedText)],
        ['Client address', p.clientAddress],
        ['Traffic', trafficText(p)],
        ['Drift', driftText(p.drift, now) ?? (state === 'ACTIVE' || state === 'DEGRADED' ? 'none' : undefined)],
        ['Revision', `${p.revision} (generation ${p.observedGeneration} of ${generation})`],
        ['Reported', timeWithDistance(p.reportTime, now) ?? 'never'],
      ],
      '  ',
    ),
  ];
  if (p.violations.length > 0) lines.push('  Refused because:', ...p.violations.map((v) => `    ${v.field}: ${v.description}`));
  lines.push(...conditionLines(p.conditions, now, '  '));
  return lines;
}

export const onInterface = (name: string | undefined): string => (name === undefined ? '' : ` on ${name}`);

/** What carries it, and, where that is the relay, why. */
function driverText({ driver, conditions }: PlacementResource): readonly string[] | undefined {
  if (driver === undefined) return undefined;
  const carrier = conditions.find((c) => c.type === 'Carrier');
  return carrier?.message ? [driver, carrier.message] : [driver];
}

function trafficText(p: PlacementResource): string | undefined {
  const c = p.counters;
  if (!c) return undefined;
  return `${grouped(c.flows)} flows, ${grouped(c.packets)} packets, ${formatBytes(c.bytes)}, ${grouped(c.refused)} refused`;
}
