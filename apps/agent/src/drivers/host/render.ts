import { type Cidr, formatCidr } from '@gwctl/shared/domain/ip';
import { changesOf, type Listed } from '../../planner/sorted-list.js';
import type { AnnouncedAddress, HostDesired, PlacedEgress, PlacedForward, PlacedRelayed } from '../../planner/types.js';

/** What forwards and egresses need of the host beside rules. */
export interface HostNeeds {
  /** Addresses that the host is to have. */
  readonly announced: readonly AnnouncedAddress[];
  /** Networks of IPv4 whose hosts reach a target over the gateway although both are in it: each once. */
  readonly hairpins: readonly Cidr[];
  /** Where traffic of egresses over IPv4 leaves. */
  readonly exits: readonly string[];
  /** The kernel's FTP helper. */
  readonly ftp: boolean;
}

export interface Rendered<R> {
  readonly inner: R;
  readonly needs: HostNeeds;
  readonly forwards: Listed<PlacedForward>;
  readonly relayed: Listed<PlacedRelayed>;
  readonly tally: Tally;
}

/** How many forwards need what, so that of tens of thousands only those are looked at that changed. */
interface Tally {
  readonly hairpins: ReadonlyMap<string, { readonly network: Cidr; readonly count: number }>;
  readonly ftp: number;
}

/**
 * `previous` saves the making of what stayed the same: whoever compares finds the same object, and of the forwards only those are
 * looked at that are not where they were.
 */
export function hostRender(desired: HostDesired, previous?: Omit<Rendered<unknown>, 'inner'>): Omit<Rendered<unknown>, 'inner'> {
  const { forwards, relayed, egresses, announced } = desired;
  const tally = tallied(forwards, previous);
  const hairpins = [...tally.hairpins].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { network }]) => network);
  const needs = { announced, hairpins, exits: exitsOf(egresses), ftp: tally.ftp > 0 };
  return { needs: previous && same(needs, previous.needs) ? previous.needs : needs, forwards, relayed, tally };
}

function tallied(forwards: Listed<PlacedForward>, previous?: Pick<Rendered<unknown>, 'forwards' | 'tally'>): Tally {
  const before = previous?.forwards ?? [];
  if (previous && before === forwards) return previous.tally;
  const { gone, come } = changesOf(before, forwards);
  const counter = new Counter(previous?.tally);
  for (const forward of gone) counter.add(forward, -1);
  for (const forward of come) counter.add(forward, 1);
  return { hairpins: counter.hairpins, ftp: counter.ftp };
}

class Counter {
  readonly hairpins: Map<string, { readonly network: Cidr; readonly count: number }>;
  ftp: number;

  constructor(from?: Tally) {
    this.hairpins = new Map(from?.hairpins);
    this.ftp = from?.ftp ?? 0;
  }

  add(forward: PlacedForward, by: 1 | -1): void {
    if (forward.ftp) this.ftp += by;
    if (forward.family !== 4) return;
    for (const { network } of forward.hairpin) {
      const name = formatCidr(network);
      const count = (this.hairpins.get(name)?.count ?? 0) + by;
      if (count === 0) this.hairpins.delete(name);
      else this.hairpins.set(name, { network, count });
    }
  }
}

const exitsOf = (egresses: readonly PlacedEgress[]): string[] => [
  ...new Set(egresses.flatMap((e) => (e.family === 4 ? [e.outInterface] : []))),
];

const equal = (a: Cidr, b: Cidr): boolean => a.prefix === b.prefix && a.network === b.network;

const same = (a: HostNeeds, b: HostNeeds): boolean =>
  a.ftp === b.ftp &&
  sameList(a.announced, b.announced, (x, y) => x === y) &&
  sameList(a.hairpins, b.hairpins, equal) &&
  sameList(a.exits, b.exits, (x, y) => x === y);

const sameList = <T>(a: readonly T[], b: readonly T[], alike: (x: T, y: T) => boolean): boolean =>
  a === b || (a.length === b.length && a.every((x, i) => alike(x, b[i] as T)));
