import type { EventResource } from '../resources/event.js';
import type { View } from './view.js';

export const eventView: View<EventResource> = {
  kind: 'Event',
  plural: 'events',
  name: (e) => e.uid,
  columns: [
    { title: 'TIME', cell: (e) => e.time },
    { title: 'GATEWAY', cell: (e) => e.gateway },
    { title: 'CONCERNS', cell: (e) => e.forward ?? (e.egress === undefined ? '' : `egress ${e.egress}`) },
    { title: 'REASON', cell: (e) => e.reason },
    { title: 'CAUSE', wide: true, cell: (e) => e.drift?.cause ?? '' },
    { title: 'OBJECT', wide: true, cell: (e) => e.drift?.object ?? '' },
    { title: 'PROCESS', wide: true, cell: (e) => e.drift?.process ?? '' },
    { title: 'MESSAGE', cell: (e) => e.message },
  ],
};
