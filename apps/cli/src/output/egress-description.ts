import { formatLabels } from '../flags/labels.js';
import type { EgressResource } from '../resources/egress.js';
import { fieldLines, timeWithDistance } from './description.js';
import { describePlacement } from './placement-description.js';

/** An egress for people to read: what is wanted, then how it stands. */
export function describeEgress({ metadata, spec, status }: EgressResource, now: number): string[] {
  const lines = fieldLines([
    ['Name', metadata.name],
    ['Description', spec.description],
    ['Owner', spec.owner],
    ['Labels', formatLabels(metadata.labels) || undefined],
    ['Gateway', spec.gateway],
    ['Sources', spec.sources],
    ['Out interface', spec.outInterface],
    ['SNAT', spec.snat.address ? `${spec.snat.mode} ${spec.snat.address}` : spec.snat.mode],
    ['Except towards', spec.exceptDestinations],
    ['Enabled', spec.enabled ? 'yes' : 'no'],
    ['Generation', String(metadata.generation ?? 0)],
    ['Created', timeWithDistance(metadata.createTime, now)],
    ['Changed', timeWithDistance(metadata.updateTime, now)],
    ['Uid', metadata.uid],
    ['Etag', metadata.etag],
  ]);
  for (const placement of status.placements) lines.push('', ...describePlacement(placement, metadata.generation ?? 0, now));
  return lines;
}
