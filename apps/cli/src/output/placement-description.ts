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
        ['Driver', p.driver],
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

function trafficText(p: PlacementResource): string | undefined {
  const c = p.counters;
  if (!c) return undefined;
  return `${grouped(c.flows)} flows, ${grouped(c.packets)} packets, ${formatBytes(c.bytes)}, ${grouped(c.refused)} refused`;
}
