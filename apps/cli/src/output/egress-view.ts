import { formatAge } from '../flags/duration.js';
import { formatLabels } from '../flags/labels.js';
import type { EgressResource } from '../resources/egress.js';
import { placementColumns, stateSummary } from './placement-view.js';
import type { View } from './view.js';

export const snatText = ({ spec: { snat } }: EgressResource): string => snat.address ?? snat.mode;

export const egressView: View<EgressResource> = {
  kind: 'Egress',
  plural: 'egresses',
  name: (e) => e.metadata.name,
  columns: [
    { title: 'NAME', cell: (e) => e.metadata.name },
    { title: 'GATEWAY', cell: (e) => e.spec.gateway },
    {
      title: 'SOURCE',
      cell: ({ spec: { sources } }) => {
        const [first = '', ...more] = sources;
        return more.length > 0 ? `${first} +${more.length}` : first;
      },
    },
    { title: 'OUT', cell: (e) => e.spec.outInterface },
    { title: 'SNAT', cell: snatText },
    { title: 'STATE', cell: stateSummary },
    { title: 'OWNER', cell: (e) => e.spec.owner ?? '' },
    { title: 'AGE', cell: (e, now) => (e.metadata.createTime ? formatAge(now - Date.parse(e.metadata.createTime)) : '') },
    { title: 'SOURCES', wide: true, cell: (e) => e.spec.sources.join(',') },
    { title: 'EXCEPT', wide: true, cell: (e) => e.spec.exceptDestinations.join(',') },
    ...placementColumns<EgressResource>(() => ''),
    { title: 'LABELS', wide: true, cell: (e) => formatLabels(e.metadata.labels) },
    { title: 'DESCRIPTION', wide: true, cell: (e) => e.spec.description ?? '' },
  ],
};

/** `10.0.0.0/16 through eth0 on gw1, as masquerade`. */
export const egressSentence = (e: EgressResource): string =>
  `${e.spec.sources.join(', ')} through ${e.spec.outInterface} on ${e.spec.gateway}, as ${snatText(e)}`;
