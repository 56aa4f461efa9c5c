import type { Family } from '@gwctl/shared/domain/ip';
import { sameEnds } from '../../planner/sorted.js';
import type { AnnouncedAddress, HostDesired, PlacedEgress, PlacedForward, ProtectedListener } from '../../planner/types.js';
import { type Element, egressPart, forwardPart, hostPart, type Part } from './elements.js';
import { FAMILIES } from './sets.js';
import { Shards } from './shards.js';

/** Who needs an element that several may need, in order of uid: the first one's value counts. */
export type Sharers = readonly { readonly uid: string; readonly element: Element }[];

/** Everything that is wanted in the tables. Two renderings share the parts that did not change. */
export interface Rendered {
  readonly forwards: readonly PlacedForward[];
  readonly egresses: readonly PlacedEgress[];
  readonly protected: readonly ProtectedListener[];
  readonly announced: readonly AnnouncedAddress[];
  /** One for each forward, in order of uid. */
  readonly forwardParts: readonly Part[];
  readonly egressParts: readonly Part[];
  /** What the gateway itself answers, of the families that something is wanted in. */
  readonly hostParts: Readonly<Record<Family, Part | undefined>>;
  /** By {@link sharedId}. */
  readonly shared: Shards<Sharers>;
  /** How many forwards and egresses there are. */
  readonly counts: Readonly<Record<Family, number>>;
}

export const NOTHING: Rendered = {
  forwards: [],
  egresses: [],
  protected: [],
  announced: [],
  forwardParts: [],
  egressParts: [],
  hostParts: { 4: undefined, 6: undefined },
  shared: Shards.empty(),
  counts: { 4: 0, 6: 0 },
};

export const isEmpty = (rendered: Rendered, family?: Family): boolean =>
  family === undefined ? FAMILIES.every((f) => rendered.counts[f] === 0) : rendered.counts[family] === 0;

export const sharedId = ({ set, key }: Pick<Element, 'set' | 'key'>): string => `${set.family} ${set.name} ${key}`;

/** What all of this needs, in nft's words, so that comparing is comparing text. Takes over from `previous` what is the same object. */
export function render(desired: HostDesired, previous: Rendered = NOTHING): Rendered {
  const { forwards, egresses } = desired;
  const forwardParts = parts(forwards, previous.forwards, previous.forwardParts, forwardPart);
  const egressParts = parts(egresses, previous.egresses, previous.egressParts, egressPart);
  const counts = counted(forwardParts, egressParts, previous);
  const host = (family: Family) => {
    if (counts[family] === 0) return undefined;
    const same = previous.protected === desired.protected && previous.announced === desired.announced;
    return (same ? previous.hostParts[family] : undefined) ?? hostPart(family, desired.protected, desired.announced);
  };
  return {
    forwards,
    egresses,
    protected: desired.protected,
    announced: desired.announced,
    forwardParts,
    egressParts,
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
}

/** Every element of a family once. */
export function* elementsOf(rendered: Rendered, family: Family): Generator<Element> {
  for (const part of partsOf(rendered, family)) {
    yield* part.elements;
    for (const element of part.shared) if (rendered.shared.get(sharedId(element))?.[0]?.uid === part.uid) yield element;
  }
}

interface Placed {
  readonly uid: string;
}

function parts<T extends Placed>(
  wanted: readonly T[],
  before: readonly T[],
  beforeParts: readonly Part[],
  part: (one: T) => Part,
): readonly Part[] {
  if (wanted === before) return beforeParts;
  const { head, tail } = sameEnds(before, wanted);
  const middle: Part[] = [];
  let at = head;
  for (let i = head; i < wanted.length - tail; i++) {
    const one = wanted[i] as T;
    while (at < before.length && (before[at] as T).uid < one.uid) at++;
    middle.push(before[at] === one ? (beforeParts[at] as Part) : part(one));
  }
  const made = beforeParts.slice(0, head).concat(middle, beforeParts.slice(before.length - tail));
  known.set(made, { before: beforeParts, head, tail });
  return made;
}

/** How a list came from another, so that several look only once. */
const known = new WeakMap<
  readonly unknown[],
  { readonly before: readonly unknown[]; readonly head: number; readonly tail: number }
>();

function ends(a: readonly unknown[], b: readonly unknown[]): { readonly head: number; readonly tail: number } {
  const found = known.get(b);
  return found?.before === a ? found : sameEnds(a, b);
}

function counted(forwards: readonly Part[], egresses: readonly Part[], previous: Rendered): Rendered['counts'] {
  const counts = { ...previous.counts };
  const count = (before: readonly Part[], after: readonly Part[]) => {
    for (const { was, now } of changedParts(before, after)) {
      if (was) counts[was.family]--;
      if (now) counts[now.family]++;
    }
  };
  count(previous.forwardParts, forwards);
  count(previous.egressParts, egresses);
  return counts;
}

/** Walks two lists in order of uid, and gives what is not the same object in both. */
export function* changedParts(
  before: readonly Part[],
  after: readonly Part[],
): Generator<{ readonly was?: Part; readonly now?: Part }> {
  if (before === after) return;
  const { head, tail } = ends(before, after);
  let [i, j] = [head, head];
  while (i < before.length - tail || j < after.length - tail) {
    const was = i < before.length - tail ? before[i] : undefined;
    const now = j < after.length - tail ? after[j] : undefined;
    if (was === now) {
      i++;
      j++;
    } else if (was && (!now || was.uid < now.uid)) {
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

function withSharers(previous: Rendered, after: readonly Part[]): Shards<Sharers> {
  const changes = new Map<string, Sharers | undefined>();
  const sharers = (id: string): Sharers => (changes.has(id) ? changes.get(id) : previous.shared.get(id)) ?? [];
  for (const { was, now } of changedParts(previous.forwardParts, after)) {
    for (const element of was?.shared ?? []) {
      const id = sharedId(element);
      const others = sharers(id).filter((s) => s.uid !== was?.uid);
      changes.set(id, others.length === 0 ? undefined : others);
    }
    for (const element of now?.shared ?? []) {
      const id = sharedId(element);
      const all = [...sharers(id), { uid: now?.uid ?? '', element }];
      changes.set(
        id,
        all.sort((a, b) => (a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0)),
      );
    }
  }
  return previous.shared.with(changes);
}
