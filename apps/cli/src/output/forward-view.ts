import { formatAge } from '../flags/duration.js';
import { formatLabels } from '../flags/labels.js';
import { formatHostPort } from '../flags/target.js';
import type { ForwardResource } from '../resources/forward.js';
import { listenerText, placementColumns, stateSummary, targetColumns } from './placement-view.js';
import type { View } from './view.js';

export function placingText(forward: ForwardResource): string {
  const { gateway, gatewaySelector } = forward.spec;
  return gatewaySelector ? formatLabels(gatewaySelector) : (gateway ?? '');
}

const targetsOf = (f: ForwardResource) => f.spec.targets.map((t) => formatHostPort(t.host, t.port));

export function expiresIn(expires: string | undefined, now: number): string {
  if (expires === undefined) return '';
  const rest = Date.parse(expires) - now;
  return rest > 0 ? formatAge(rest) : 'expired';
}

export const forwardView: View<ForwardResource> = {
  kind: 'Forward',
  plural: 'forwards',
  name: (f) => f.metadata.name,
  columns: [
    { title: 'NAME', cell: (f) => f.metadata.name },
    { title: 'GATEWAY', cell: placingText },
    { title: 'LISTEN', cell: (f) => listenerText(f.spec.listen) },
    {
      title: 'TARGET',
      cell: (f) => {
        const [first = '', ...more] = targetsOf(f);
        return more.length > 0 ? `${first} +${more.length}` : first;
      },
    },
    { title: 'STATE', cell: stateSummary },
    { title: 'OWNER', cell: (f) => f.spec.owner ?? '' },
    { title: 'EXPIRES', cell: (f, now) => expiresIn(f.spec.expires, now) },
    { title: 'AGE', cell: (f, now) => (f.metadata.createTime ? formatAge(now - Date.parse(f.metadata.createTime)) : '') },
    { title: 'INTERFACE', wide: true, cell: (f) => f.spec.listen.interface ?? '' },
    { title: 'ALLOW', wide: true, cell: (f) => f.spec.allowSources.join(',') || 'anyone' },
    { title: 'SNAT', wide: true, cell: (f) => f.spec.snat.address ?? f.spec.snat.mode },
    ...targetColumns,
    ...placementColumns<ForwardResource>((f) => f.spec.driver),
    { title: 'LABELS', wide: true, cell: (f) => formatLabels(f.metadata.labels) },
    { title: 'DESCRIPTION', wide: true, cell: (f) => f.spec.description ?? '' },
  ],
};

/** `192.168.1.10:10022/tcp on gw1 to 192.168.2.122:10022`. */
export const forwardSentence = (f: ForwardResource): string =>
  `${listenerText(f.spec.listen)} on ${placingText(f)} to ${targetsOf(f).join(', ')}`;
