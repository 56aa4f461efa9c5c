import { formatAge } from '../flags/duration.js';
import { formatLabels } from '../flags/labels.js';
import { formatHostPort } from '../flags/target.js';
import type { ForwardResource, ListenerResource, PlacementResource } from '../resources/forward.js';
import { formatBytes, grouped } from './numbers.js';
import type { View } from './view.js';

/** `192.168.1.10:10022/tcp`, `*:53/udp`, `[2001:db8::1]:443/tcp`, `192.168.100.3/all`: what --listen reads again. */
export function listenerText(l: ListenerResource): string {
  const address = l.address === undefined ? '*' : l.address;
  const shown = address.includes(':') ? `[${address}]` : address;
  return l.ports === undefined ? `${shown}/${l.protocol}` : `${shown}:${l.ports}/${l.protocol}`;
}

/**
 * A placement's state as it counts: what the agent said of an older generation is not said of this one, so it is PENDING.
 * UNKNOWN stays, since it speaks of the observer.
 */
export function stateOf(placement: PlacementResource, generation: number): string {
  const stale = placement.observedGeneration < generation;
  return stale && placement.state !== 'UNKNOWN' ? 'PENDING' : placement.state;
}

/** From bad to good: the worst of several placements stands for the forward. */
const WORST_FIRST = ['REJECTED', 'UNKNOWN', 'DEGRADED', 'PENDING', 'EXPIRED', 'DISABLED', 'ACTIVE'];

/** One word for all placements; with how many are in it where they differ: `REJECTED (1 of 3)`. */
export function stateSummary(forward: ForwardResource): string {
  const states = forward.status.placements.map((p) => stateOf(p, forward.metadata.generation ?? 0));
  if (states.length === 0) return 'NOWHERE';
  const rank = (state: string) => {
    const at = WORST_FIRST.indexOf(state);
    return at < 0 ? -1 : at;
  };
  const worst = states.reduce((a, b) => (rank(b) < rank(a) ? b : a));
  const same = states.filter((s) => s === worst).length;
  return same === states.length ? worst : `${worst} (${same} of ${states.length})`;
}

export function placingText(forward: ForwardResource): string {
  const { gateway, gatewaySelector } = forward.spec;
  return gatewaySelector ? formatLabels(gatewaySelector) : (gateway ?? '');
}

const targetsOf = (f: ForwardResource) => f.spec.targets.map((t) => formatHostPort(t.host, t.port));

const sum = (f: ForwardResource, of: (p: PlacementResource) => number | undefined): number =>
  f.status.placements.reduce((total, p) => total + (of(p) ?? 0), 0);

const unique = (words: readonly (string | undefined)[]) =>
  [...new Set(words.filter((w) => w !== undefined && w !== ''))].join(',');

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
    { title: 'DRIVER', wide: true, cell: (f) => unique(f.status.placements.map((p) => p.driver)) || f.spec.driver },
    { title: 'FLOWS', wide: true, cell: (f) => grouped(sum(f, (p) => p.counters?.flows)) },
    { title: 'BYTES', wide: true, cell: (f) => formatBytes(sum(f, (p) => p.counters?.bytes)) },
    { title: 'LABELS', wide: true, cell: (f) => formatLabels(f.metadata.labels) },
    { title: 'DESCRIPTION', wide: true, cell: (f) => f.spec.description ?? '' },
  ],
};

/** `192.168.1.10:10022/tcp on gw1 to 192.168.2.122:10022`. */
export const forwardSentence = (f: ForwardResource): string =>
  `${listenerText(f.spec.listen)} on ${placingText(f)} to ${targetsOf(f).join(', ')}`;
