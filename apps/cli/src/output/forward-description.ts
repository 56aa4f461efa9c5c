import { formatLabels } from '../flags/labels.js';
import { formatHostPort } from '../flags/target.js';
import type { ForwardResource, PlacementResource } from '../resources/forward.js';
import { conditionLines, driftText, fieldLines, timeWithDistance } from './description.js';
import { listenerText, placingText, stateOf } from './forward-view.js';
import { formatBytes, formatRtt, grouped } from './numbers.js';

/** A forward for people to read: what is wanted, then how it stands on each gateway. */
export function describeForward(f: ForwardResource, now: number): string[] {
  const { metadata, spec, status } = f;
  const lines = fieldLines([
    ['Name', metadata.name],
    ['Description', spec.description],
    ['Owner', spec.owner],
    ['Labels', formatLabels(metadata.labels) || undefined],
    [spec.gatewaySelector ? 'Gateways with' : 'Gateway', placingText(f)],
    ['Listener', `${listenerText(spec.listen)}${onInterface(spec.listen.interface)}${spec.listen.announce ? ', announced' : ''}`],
    ['Targets', targetsText(f)],
    ['Allowed', spec.allowSources.join(', ') || 'anyone'],
    ['SNAT', spec.snat.address ? `${spec.snat.mode} ${spec.snat.address}` : spec.snat.mode],
    ['Driver', spec.driver],
    ['On change', spec.onChange],
    ['Enabled', spec.enabled ? 'yes' : 'no'],
    ['Expires', timeWithDistance(spec.expires, now) ?? 'never'],
    ['Takeover', spec.takeover ? 'yes, from local sockets' : undefined],
    ['Generation', String(metadata.generation ?? 0)],
    ['Created', timeWithDistance(metadata.createTime, now)],
    ['Changed', timeWithDistance(metadata.updateTime, now)],
    ['Uid', metadata.uid],
    ['Etag', metadata.etag],
  ]);
  if (status.placements.length === 0) lines.push('', 'On no gateway: none matches.');
  for (const placement of status.placements) lines.push('', ...describePlacement(placement, metadata.generation ?? 0, now));
  return lines;
}

function describePlacement(p: PlacementResource, generation: number, now: number): string[] {
  const state = stateOf(p, generation);
  const was = state === p.state ? '' : ` (the agent has only spoken of generation ${p.observedGeneration}: ${p.state})`;
  const lines = [
    ...fieldLines([[`On ${p.gateway}`, `${state}${was}`]]),
    ...fieldLines(
      [
        ['Driver', p.driver],
        ['Listener', p.listen ? `${listenerText(p.listen)}${onInterface(p.listen.interface)}` : undefined],
        ['Targets', p.targets.length > 0 ? p.targets.map(resolvedText).join('; ') : undefined],
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

const onInterface = (name: string | undefined): string => (name === undefined ? '' : ` on ${name}`);

function targetsText(f: ForwardResource): string {
  const weighted = f.spec.targets.some((t) => t.weight !== 1);
  return f.spec.targets.map((t) => `${formatHostPort(t.host, t.port)}${weighted ? ` (weight ${t.weight})` : ''}`).join(', ');
}

function resolvedText(t: PlacementResource['targets'][number]): string {
  const named = t.host === t.address ? '' : `${t.host} = `;
  return `${named}${formatHostPort(t.address, t.port)} ${t.health === 'unknown' ? '(health unknown)' : t.health}${t.rttMicros === undefined ? '' : `, ${formatRtt(t.rttMicros)}`}`;
}

function trafficText(p: PlacementResource): string | undefined {
  const c = p.counters;
  if (!c) return undefined;
  return `${grouped(c.flows)} flows, ${grouped(c.packets)} packets, ${formatBytes(c.bytes)}, ${grouped(c.refused)} refused`;
}
