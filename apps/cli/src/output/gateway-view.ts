import { formatAge, formatDuration } from '../flags/duration.js';
import { formatLabels } from '../flags/labels.js';
import type { GatewayResource } from '../resources/gateway.js';
import { conditionLines, fieldLines, timeWithDistance } from './description.js';
import { tableLines } from './table.js';
import type { View } from './view.js';

/** `online`, `offline`, or `not joined` before the first agent; `cordoned` besides. */
export function connectionText(g: GatewayResource): string {
  const base = g.status.connected ? 'online' : g.status.enrolled ? 'offline' : 'not joined';
  return g.spec.cordoned ? `${base}, cordoned` : base;
}

/** How far the agent came: `17`, or `15 of 17` while it is behind. */
const revisionText = (g: GatewayResource): string =>
  g.status.appliedRevision === g.status.revision
    ? String(g.status.revision)
    : `${g.status.appliedRevision} of ${g.status.revision}`;

const since = (time: string | undefined, now: number): string => (time === undefined ? '' : formatAge(now - Date.parse(time)));

export const gatewayView: View<GatewayResource> = {
  kind: 'Gateway',
  plural: 'gateways',
  name: (g) => g.metadata.name,
  columns: [
    { title: 'NAME', cell: (g) => g.metadata.name },
    { title: 'STATUS', cell: connectionText },
    { title: 'FORWARDS', cell: (g) => String(g.status.forwards) },
    { title: 'EGRESSES', wide: true, cell: (g) => String(g.status.egresses) },
    { title: 'DRIFT', wide: true, cell: (g) => g.spec.driftPolicy },
    { title: 'REVISION', cell: revisionText },
    { title: 'DRIVER', cell: (g) => g.status.driver ?? '' },
    { title: 'LABELS', cell: (g) => formatLabels(g.metadata.labels) },
    { title: 'AGE', cell: (g, now) => since(g.metadata.createTime, now) },
    { title: 'LAST SEEN', wide: true, cell: (g, now) => since(g.status.lastSeenTime, now) },
    { title: 'HOSTNAME', wide: true, cell: (g) => g.status.hostname ?? '' },
    { title: 'KERNEL', wide: true, cell: (g) => g.status.kernel ?? '' },
    { title: 'AGENT', wide: true, cell: (g) => g.status.agentVersion ?? '' },
  ],
};

const seconds = (n: number): string => formatDuration(n * 1000);

const ttlText = ({ spec }: GatewayResource): string =>
  `after the TTL, not sooner than ${seconds(spec.dnsMinTtlSeconds)} and not later than ${seconds(spec.dnsMaxTtlSeconds)}`;

/** `drift repair; DNS of the host, TTL 5s to 5m`. */
export const settingsSentence = ({ spec }: GatewayResource): string =>
  `drift ${spec.driftPolicy}; DNS of ${spec.resolvers.join(', ') || 'the host'}, TTL ${seconds(spec.dnsMinTtlSeconds)} to ${seconds(spec.dnsMaxTtlSeconds)}`;

/** A gateway for people to read. */
export function describeGateway(g: GatewayResource, now: number): string[] {
  const { metadata, status } = g;
  const lines = fieldLines([
    ['Name', metadata.name],
    ['Labels', formatLabels(metadata.labels) || undefined],
    ['Status', connectionText(g)],
    ['Cordoned', g.spec.cordoned ? 'yes: takes no changes until uncordoned' : 'no'],
    ['Connected', status.connected ? timeWithDistance(status.connectedTime, now) : undefined],
    ['Last seen', timeWithDistance(status.lastSeenTime, now) ?? 'never'],
    ['Forwards', String(status.forwards)],
    ['Egresses', String(status.egresses)],
    ['On drift', g.spec.driftPolicy],
    ['DNS servers', g.spec.resolvers.length > 0 ? g.spec.resolvers : "the host's own"],
    ['DNS asked again', ttlText(g)],
    ['Revision', `${status.revision} wanted, ${status.acceptedRevision} accepted, ${status.appliedRevision} applied`],
    ['Driver', status.driver],
    ['Hostname', status.hostname],
    ['Kernel', status.kernel],
    ['Agent', status.agentVersion],
    ['Created', timeWithDistance(metadata.createTime, now)],
    ['Uid', metadata.uid],
    ['Etag', metadata.etag],
  ]);
  if (status.capabilities.length > 0) {
    const rows = status.capabilities.map((c) => [c.name, c.supported ? 'yes' : 'no', c.detail]);
    lines.push('', 'Capabilities:', ...tableLines([['NAME', 'SUPPORTED', 'DETAIL'], ...rows]).map((l) => `  ${l}`));
  }
  const conditions = conditionLines(status.conditions, now, '');
  return conditions.length > 0 ? [...lines, '', ...conditions] : lines;
}
