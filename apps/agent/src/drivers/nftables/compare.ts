/** What must change in the tables: costs as much as two renderings differ, and what the kernel is known to have beside the first. */
import type { Family } from '@gwctl/shared/domain/ip';
import type { Listed } from '../../planner/sorted-list.js';
import type { Element, Part, Suffix } from './elements.js';
import type { Observed, OwnWay, Patch } from './observe.js';
import { changedParts, type Rendered, sharedId, sharedSuffix } from './render.js';
import { FAMILIES, POOL_CHAINS, type SetSpec } from './sets.js';

/** Of one set. */
export interface SetChange {
  readonly set: SetSpec;
  /** What the kernel has of it now, suffix by key. */
  readonly removed: Map<string, Suffix>;
  readonly added: Map<string, Suffix>;
  /** Keys of the forwards concerned. */
  readonly owners: Set<string>;
}

export interface Comparison {
  readonly changes: readonly SetChange[];
  /** Ways that nobody wants any more, and that flows may live on. */
  readonly ways: readonly OwnWay[];
}

/** What is known of one element: what the kernel has (`is`), and what is wanted (`now`). */
interface Slot {
  is: Suffix | undefined;
  now: Suffix | undefined;
  owner: string;
}

type Slots = Map<SetSpec, Map<string, Slot>>;

/** `skip`: families whose table is not there or is made anew, of which only the ways count. */
export function compare(rendered: Rendered, observed: Observed): Comparison {
  const slots: Slots = new Map();
  fromRenderings(rendered, observed, slots);
  fromPatches(observed, slots);
  const changes: SetChange[] = [];
  const ways: OwnWay[] = [];
  for (const [set, keys] of slots) {
    const change: SetChange = { set, removed: new Map(), added: new Map(), owners: new Set() };
    const loose: OwnWay[] = [];
    for (const [key, { is, now, owner }] of keys) {
      if (is === now) continue;
      if (now === undefined && is !== undefined && set.own) {
        loose.push({ set, key, suffix: is });
        continue;
      }
      // An emptied chain is as good as none.
      if (now === undefined && is === '' && set === POOL_CHAINS[set.family]) continue;
      // The kernel takes no other value for an element that is there.
      if (is !== undefined) change.removed.set(key, is);
      if (now !== undefined) change.added.set(key, now);
      if (owner !== '') change.owners.add(owner);
    }
    for (const way of loose) {
      if (set.interval && [...change.added.keys()].some((added) => overlap(added, way.key)))
        change.removed.set(way.key, way.suffix);
      else ways.push(way);
    }
    if (change.removed.size + change.added.size > 0) changes.push(change);
  }
  return { changes, ways };
}

function slotOf(slots: Slots, set: SetSpec, key: string, fresh: () => Slot): Slot {
  let keys = slots.get(set);
  if (!keys) {
    keys = new Map();
    slots.set(set, keys);
  }
  let slot = keys.get(key);
  if (!slot) {
    slot = fresh();
    keys.set(key, slot);
  }
  return slot;
}

function fromRenderings(rendered: Rendered, { base, tables }: Observed, slots: Slots): void {
  // Of a table that is not there all is made anew.
  if (!tables[4] && !tables[6]) return;
  const walk = (before: Listed<Part>, after: Listed<Part>) => {
    for (const { was, now } of changedParts(before, after)) {
      if (was && tables[was.family]) {
        for (const element of was.elements) known(element, was.key).is = element.suffix;
        for (const element of was.shared) shared(element, was.key);
      }
      if (now && tables[now.family]) {
        for (const element of now.elements) known(element, now.key).now = element.suffix;
        for (const element of now.shared) shared(element, now.key);
      }
    }
  };
  const known = ({ set, key }: Element, owner: string): Slot => {
    const slot = slotOf(slots, set, key, () => ({ is: undefined, now: undefined, owner }));
    slot.owner = owner;
    return slot;
  };
  const shared = (element: Element, owner: string) => {
    const slot = known(element, owner);
    const id = sharedId(element);
    slot.is = sharedSuffix(base, id);
    slot.now = sharedSuffix(rendered, id);
  };
  for (const family of FAMILIES) walk(list(base.hostParts[family]), list(rendered.hostParts[family]));
  walk(base.forwardParts, rendered.forwardParts);
  walk(base.egressParts, rendered.egressParts);
  for (const family of FAMILIES) walk(base.relayedParts[family], rendered.relayedParts[family]);
}

function fromPatches({ tables }: Observed, slots: Slots): void {
  for (const family of FAMILIES) {
    for (const [set, entries] of tables[family]?.patch ?? []) {
      for (const [key, { is, was }] of entries) {
        // What no changed part speaks of is wanted as it was.
        const slot = slotOf(slots, set, key, () => ({ is, now: was, owner: ownerOf(is) ?? ownerOf(was) ?? '' }));
        slot.is = is;
      }
    }
  }
}

const list = (part: Part | undefined): readonly Part[] => (part ? [part] : []);

/** The key in an element's comment. */
export const ownerOf = (suffix: Suffix | undefined): string | undefined => /^ comment "([0-9a-f]{8})[:"]/.exec(suffix ?? '')?.[1];

/** Whether two keys of one interval set have something in common. Only ports are ranges there. */
function overlap(a: string, b: string): boolean {
  const [others, ours] = [a.split(' . '), b.split(' . ')];
  return ours.every((field, i) => {
    const other = others[i] ?? '';
    if (field === other) return true;
    const [x, y] = [ports(field), ports(other)];
    return x !== undefined && y !== undefined && x[0] <= y[1] && y[0] <= x[1];
  });
}

function ports(field: string): readonly [number, number] | undefined {
  const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(field) ?? [];
  return first === undefined ? undefined : [Number(first), Number(last ?? first)];
}

/** How the sets of one family differ from `rendered` once the changes are made and the ways stay. */
export function patchAfter(family: Family, { ways }: Comparison): ReadonlyMap<SetSpec, ReadonlyMap<string, Patch>> {
  const patch = new Map<SetSpec, Map<string, Patch>>();
  for (const { set, key, suffix } of ways) {
    if (set.family !== family) continue;
    const entries = patch.get(set) ?? new Map<string, Patch>();
    patch.set(set, entries.set(key, { is: suffix }));
  }
  return patch;
}
