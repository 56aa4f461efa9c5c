import { formatDuration } from '../flags/duration.js';
import { formatLabels } from '../flags/labels.js';
import { formatHostPort } from '../flags/target.js';
import type { ForwardResource, RelayResource } from '../resources/forward.js';
import { fieldLines, timeWithDistance } from './description.js';
import { placingText } from './forward-view.js';
import { grouped } from './numbers.js';
import { describePlacement, onInterface } from './placement-description.js';
import { listenerText } from './placement-view.js';

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
    ['Affinity', spec.affinity === 'none' ? undefined : spec.affinity],
    ['Helper', spec.helper === 'auto' ? undefined : spec.helper],
    ['Health check', healthCheckText(f)],
    ['PROXY protocol', spec.relay?.proxyProtocol],
    ['Connect time-out', secondsText(spec.relay?.connectTimeoutSeconds)],
    ['Idle time-out', idleText(spec.relay)],
    ['Connections', connectionsText(spec.relay)],
    ['MSS', spec.clampMss ? 'lowered to what fits the path' : undefined],
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

function targetsText(f: ForwardResource): string[] {
  const weighted = f.spec.targets.some((t) => t.weight !== 1);
  return f.spec.targets.map((t) => `${formatHostPort(t.host, t.port)}${weighted ? ` (weight ${t.weight})` : ''}`);
}

function healthCheckText({ spec: { healthCheck } }: ForwardResource): string | undefined {
  const { mode, port } = healthCheck;
  if (mode === 'auto') return undefined;
  return port === undefined ? mode : `${mode} to port ${port}`;
}

const secondsText = (seconds: number | undefined): string | undefined =>
  seconds === undefined ? undefined : formatDuration(seconds * 1000);

function idleText(relay: RelayResource | undefined): string | undefined {
  const [tcp, udp] = [secondsText(relay?.tcpIdleTimeoutSeconds), secondsText(relay?.udpIdleTimeoutSeconds)];
  return [...(tcp ? [`${tcp} for TCP`] : []), ...(udp ? [`${udp} for UDP`] : [])].join(', ') || undefined;
}

function connectionsText(relay: RelayResource | undefined): string | undefined {
  const { maxConnections: all, maxConnectionsPerClient: each } = relay ?? {};
  const parts = [...(all ? [grouped(all)] : []), ...(each ? [`${grouped(each)} of each client address`] : [])];
  return parts.length === 0 ? undefined : `at most ${parts.join(', ')}`;
}
