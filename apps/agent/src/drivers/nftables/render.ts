import type { Family } from '@gwctl/shared/domain/ip';
import { type Changes, changesOf, derived, type Listed, SortedList } from '../../planner/sorted-list.js';
import type {
  AnnouncedAddress,
  HostDesired,
  PlacedEgress,
  PlacedForward,
  PlacedRelayed,
  ProtectedListener,
} from '../../planner/types.js';
import { type Element, egressPart, forwardPart, hostPart, type Part, relayedPart, type Suffix } from './elements.js';
import { FAMILIES } from './sets.js';
import { Shards } from './shards.js';

/** Who needs an element that several may need. Where it is but one, as is usual, there is no list. */
export type Sharers = Part | SortedList<Part>;

/** Everything that is wanted in the tables. Two renderings share the parts that did not change. */
export interface Rendered {
  readonly forwards: Listed<PlacedForward>;
  readonly egresses: readonly PlacedEgress[];
  readonly relayed: Listed<PlacedRelayed>;
  readonly protected: readonly ProtectedListener[];
  readonly announced: readonly AnnouncedAddress[];
  /** One for each forward, in order of uid. */
  readonly forwardParts: SortedList<Part>;
  readonly egressParts: SortedList<Part>;
  /** One for each forward of the relay, without elements in a family that it does not listen in. */
  readonly relayedParts: Readonly<Record<Family, SortedList<Part>>>;
  /** What the gateway itself answers, of the families that something is wanted in. */
  readonly hostParts: Readonly<Record<Family, Part | undefined>>;
  /** By {@link sharedId}. */
  readonly shared: Shards<Sharers>;
  /** How many forwards and egresses there are. */
  readonly counts: Readonly<Record<Family, number>>;
  /** How many forwards of the relay listen. */
  readonly listening: Readonly<Record<Family, number>>;
}

export const NOTHING: Rendered = {
  forwards: [],
  egresses: [],
  relayed: [],
  protected: [],
  announced: [],
  forwardParts: SortedList.empty(),
  egressParts: SortedList.empty(),
  relayedParts: { 4: SortedList.empty(), 6: SortedList.empty() },
  hostParts: { 4: undefined, 6: undefined },
  shared: Shards.empty(),
  counts: { 4: 0, 6: 0 },
  listening: { 4: 0, 6: 0 },
};

/** Whether nothing is forwarded by the kernel. The table may be wanted all the same: see {@link needsTable}. */
export const isEmpty = (rendered: Rendered, family?: Family): boolean =>
  family === undefined ? FAMILIES.every((f) => rendered.counts[f] === 0) : rendered.counts[family] === 0;

/** What the relay listens on is in the table too. */
export const needsTable = (rendered: Rendered, family: Family): boolean =>
  rendered.counts[family] + rendered.listening[family] > 0;

export const sharedId = ({ set, key }: Pick<Element, 'set' | 'key'>): string => `${set.family} ${set.name} ${key}`;

/** What all of this needs, in nft's words, so that comparing is comparing text. Takes over from `previous` what is the same object. */
export function render(desired: HostDesired, previous: Rendered = NOTHING): Rendered {
  const { forwards, egresses, relayed } = desired;
  const forwardParts = derived(previous.forwardParts, changesOf(previous.forwards, forwards), forwardPart);
  const egressParts = derived(previous.egressParts, changesOf<PlacedEgress>(previous.egresses, egresses), egressPart);
  const changed = changesOf(previous.relayed, relayed);
  const relays = (family: Family) => derived(previous.relayedParts[family], changed, (one) => relayedPart(family, one));
  const listens = (family: Family) =>
    changed.come.filter((r) => r.listen.families.includes(family)).length -
    changed.gone.filter((r) => r.listen.families.includes(family)).length +
    previous.listening[family];
  const counts = counted(forwardParts, egressParts, previous);
  const host = (family: Family) => {
    if (counts[family] === 0) return undefined;
    const same = previous.protected === desired.protected && previous.announced === desired.announced;
    return (same ? previous.hostParts[family] : undefined) ?? hostPart(family, desired.protected, desired.announced);
  };
  return {
    forwards,
    egresses,
    relayed,
    protected: desired.protected,
    announced: desired.announced,
    forwardParts,
    egressParts,
    relayedParts: { 4: relays(4), 6: relays(6) },
    listening: { 4: listens(4), 6: listens(6) },
    hostParts: { 4: host(4), 6: host(6) },
    shared: withSharers(previous, forwardParts),
    counts,
  };
}

/** Every part of a rendering, those of one family where one is named. */
export function* partsOf(rendered: Rendered, family?: Family): Generator<Part> {
  for (const f of FAMILIES) {
    const host = rendered.hostParts[f];
    if (host && (family === undefined || f === family)) yield host;
  }
  for (const part of rendered.forwardParts) if (family === undefined || part.family === family) yield part;
  for (const part of rendered.egressParts) if (family === undefined || part.family === family) yield part;
  for (const f of FAMILIES) if (family === undefined || f === family) yield* rendered.relayedParts[f];
}

/** Shows every element of a family once. No generator: there may be hundreds of thousands. */
export function eachElement(rendered: Rendered, family: Family, take: (element: Element) => void): void {
  for (const part of partsOf(rendered, family)) {
    for (const element of part.elements) take(element);
    for (const element of part.shared) if (isFirst(rendered.shared.get(sharedId(element)), part)) take(element);
  }
}

function counted(forwards: Listed<Part>, egresses: Listed<Part>, previous: Rendered): Rendered['counts'] {
  const counts = { ...previous.counts };
  const count = ({ gone, come }: Changes<Part>) => {
    for (const { family } of gone) counts[family]--;
    for (const { family } of come) counts[family]++;
  };
  count(changesOf(previous.forwardParts, forwards));
  count(changesOf(previous.egressParts, egresses));
  return counts;
}

/** What is not the same object in both lists: what it was and what it is now, in order of uid. */
export function* changedParts(
  before: Listed<Part>,
  after: Listed<Part>,
): Generator<{ readonly was?: Part; readonly now?: Part }> {
  const { gone, come } = changesOf(before, after);
  let [i, j] = [0, 0];
  for (;;) {
    const [was, now] = [gone[i], come[j]];
    if (!was && !now) return;
    if (was && (!now || was.uid < now.uid)) {
      yield { was };
      i++;
    } else if (now && (!was || now.uid < was.uid)) {
      yield { now };
      j++;
    } else if (was && now) {
      yield { was, now };
      i++;
      j++;
    }
  }
}

/** Everybody who needs an element that several may need, in order of uid. */
export const sharersOf = ({ shared }: Rendered, id: string): readonly Part[] => {
  const sharers = shared.get(id);
  return sharers === undefined ? [] : sharers instanceof SortedList ? [...sharers] : [sharers];
};

/** What an element that several may need says: the first one's value counts. */
export function sharedSuffix({ shared }: Rendered, id: string): Suffix | undefined {
  const sharers = shared.get(id);
  const part = sharers instanceof SortedList ? sharers.first : sharers;
  return part?.shared.find((element) => sharedId(element) === id)?.suffix;
}

const isFirst = (sharers: Sharers | undefined, part: Part): boolean =>
  (sharers instanceof SortedList ? sharers.first : sharers) === part;

function withSharers(previous: Rendered, after: Listed<Part>): Shards<Sharers> {
  const edits = new Map<string, { readonly gone: Part[]; readonly come: Part[] }>();
  const edit = (element: Element) => {
    const id = sharedId(element);
    const known = edits.get(id);
    if (known) return known;
    const made = { gone: [], come: [] };
    edits.set(id, made);
    return made;
  };
  const { gone, come } = changesOf(previous.forwardParts, after);
  for (const part of gone) for (const element of part.shared) edit(element).gone.push(part);
  for (const part of come) for (const element of part.shared) edit(element).come.push(part);
  const changes = new Map<string, Sharers | undefined>();
  for (const [id, { gone, come }] of edits) changes.set(id, edited(previous.shared.get(id), gone, come));
  return previous.shared.with(changes);
}

function edited(sharers: Sharers | undefined, gone: readonly Part[], come: readonly Part[]): Sharers | undefined {
  const before = sharers instanceof SortedList ? sharers : SortedList.from(sharers ? [sharers] : []);
  const after = before.with({ gone, come });
  return after.length > 1 ? after : after.first;
}
