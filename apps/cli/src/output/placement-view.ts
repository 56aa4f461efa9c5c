/** How what gateways carry is shown in tables and sentences. */
import { formatHostPort } from '../flags/target.js';
import type { Carried, ListenerResource, PlacementResource, ResolvedTargetResource } from '../resources/placement.js';
import { formatBytes, formatRtt, grouped } from './numbers.js';
import type { Column } from './view.js';

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

/** From bad to good: the worst of several placements stands for all. */
const WORST_FIRST = ['REJECTED', 'UNKNOWN', 'DEGRADED', 'PENDING', 'EXPIRED', 'DISABLED', 'ACTIVE'];

/** One word for all placements; with how many are in it where they differ: `REJECTED (1 of 3)`. */
export function stateSummary({ metadata, status }: Carried): string {
  const states = status.placements.map((p) => stateOf(p, metadata.generation ?? 0));
  if (states.length === 0) return 'NOWHERE';
  const rank = (state: string) => {
    const at = WORST_FIRST.indexOf(state);
    return at < 0 ? -1 : at;
  };
  const worst = states.reduce((a, b) => (rank(b) < rank(a) ? b : a));
  const same = states.filter((s) => s === worst).length;
  return same === states.length ? worst : `${worst} (${same} of ${states.length})`;
}

/** `db.example.net = 192.168.2.123:10022 healthy, 0.31 ms`. */
export function resolvedText(t: ResolvedTargetResource): string {
  const named = t.host === t.address ? '' : `${t.host} = `;
  const health = t.health === 'unknown' ? '(health unknown)' : t.health;
  const rtt = t.rttMicros === undefined ? '' : `, ${formatRtt(t.rttMicros)}`;
  // Protocol all has no port.
  return `${named}${formatHostPort(t.address, t.port === 0 ? undefined : t.port)} ${health}${rtt}`;
}

const sum = (f: Carried, of: (p: PlacementResource) => number | undefined): number =>
  f.status.placements.reduce((total, p) => total + (of(p) ?? 0), 0);

const unique = (words: readonly (string | undefined)[]) =>
  [...new Set(words.filter((w) => w !== undefined && w !== ''))].join(',');

/** `altered nat/GWCTL-DISP`, with `, repaired` behind it once it is. */
const driftCell = (f: Carried): string =>
  unique(f.status.placements.map(({ drift: d }) => d && `${d.cause} ${d.object}${d.repairedTime ? ', repaired' : ''}`));

/** The conditions that are not true, by their reasons. */
const conditionCell = (f: Carried): string =>
  unique(f.status.placements.flatMap((p) => p.conditions.filter((c) => c.status !== 'true').map((c) => `${c.type}=${c.reason}`)));

/** Every target as the agents resolved it. */
export const targetColumns: readonly Column<Carried>[] = [
  {
    title: 'TARGETS',
    wide: true,
    cell: (f) => [...new Set(f.status.placements.flatMap((p) => p.targets.map(resolvedText)))].join('; '),
  },
];

/** What agents report of a placement. @param wanted The driver where no agent said one yet. */
export const placementColumns = <R extends Carried>(wanted: (resource: R) => string): readonly Column<R>[] => [
  { title: 'DRIVER', wide: true, cell: (r) => unique(r.status.placements.map((p) => p.driver)) || wanted(r) },
  { title: 'FLOWS', wide: true, cell: (r) => grouped(sum(r, (p) => p.counters?.flows)) },
  { title: 'BYTES', wide: true, cell: (r) => formatBytes(sum(r, (p) => p.counters?.bytes)) },
  { title: 'REFUSED', wide: true, cell: (r) => grouped(sum(r, (p) => p.counters?.refused)) },
  { title: 'DRIFT', wide: true, cell: driftCell },
  { title: 'CONDITIONS', wide: true, cell: conditionCell },
];
