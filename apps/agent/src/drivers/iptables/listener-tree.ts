import { compareListeners, digitAt, LEVELS, type Listener } from './listener-digits.js';

/** Up to this many listeners stand in one chain. */
export const MOST_TOGETHER = 16;

/**
 * A tree of listeners that never changes: adding and removing give another one that shares all but the way to the listener. Its form
 * depends on what is in it alone, never on the order of changes: at most {@link MOST_TOGETHER} listeners are a leaf; more are split
 * by the first thing in which they differ, from the front of the address to the back of the port.
 */
export type ListenerTree = Leaf | Inner;

export interface Leaf {
  readonly kind: 'leaf';
  /** In order. */
  readonly listeners: readonly Listener[];
}

export interface Inner {
  readonly kind: 'inner';
  /** What its children differ in; all before it is the same in all of them. */
  readonly level: number;
  readonly sample: Listener;
  readonly children: ReadonlyMap<string, ListenerTree>;
  /** Those that reach over several children, for instance a range of ports. Of one address they are few, for no two overlap. */
  readonly across: readonly Listener[];
  readonly count: number;
}

export const EMPTY_TREE: ListenerTree = { kind: 'leaf', listeners: [] };

export const countOf = (tree: ListenerTree): number => (tree.kind === 'leaf' ? tree.listeners.length : tree.count);

/** All at once. */
export function treeOf(listeners: readonly Listener[]): ListenerTree {
  if (listeners.length <= MOST_TOGETHER) return leaf(listeners);
  const [sample] = listeners;
  const level = splitLevel(listeners);
  if (!sample || level === undefined) return leaf(listeners);
  const across: Listener[] = [];
  const groups = new Map<string, Listener[]>();
  for (const listener of listeners) {
    const digit = digitAt(listener, level);
    const group = digit === undefined ? across : (groups.get(digit) ?? []);
    group.push(listener);
    if (digit !== undefined) groups.set(digit, group);
  }
  return inner(level, new Map([...groups].map(([digit, some]) => [digit, treeOf(some)])), across, sample);
}

/** `listener` must not be in the tree. */
export function withListener(tree: ListenerTree, listener: Listener): ListenerTree {
  if (tree.kind === 'leaf') return treeOf([...tree.listeners, listener]);
  const { level, sample, children, across } = tree;
  // What all in the tree have in common, the new one may not have.
  for (let above = 0; above < level; above++) {
    const digit = digitAt(listener, above);
    const theirs = digitAt(sample, above);
    if (digit === theirs || theirs === undefined) continue;
    const pair = new Map<string, ListenerTree>([[theirs, tree]]);
    if (digit !== undefined) pair.set(digit, leaf([listener]));
    return inner(above, pair, digit === undefined ? [listener] : [], sample);
  }
  const digit = digitAt(listener, level);
  if (digit === undefined) return inner(level, children, [...across, listener], sample);
  const child = children.get(digit);
  const grown = child ? withListener(child, listener) : leaf([listener]);
  return inner(level, new Map([...children, [digit, grown]]), across, sample);
}

/** `listener` is told by its id and its digits. */
export function withoutListener(tree: ListenerTree, listener: Listener): ListenerTree {
  if (tree.kind === 'leaf') return leaf(tree.listeners.filter((l) => l.id !== listener.id));
  const rest = reduced(tree, listener);
  if (!rest) return tree;
  if (rest.count <= MOST_TOGETHER || rest.children.size === 0) return leaf(listenersIn(rest));
  const [only, ...more] = rest.children.values();
  return only && more.length === 0 && rest.across.length === 0 ? only : rest;
}

function reduced(tree: Inner, listener: Listener): Inner | undefined {
  const { level, sample, children, across } = tree;
  const digit = digitAt(listener, level);
  if (digit === undefined) {
    const others = across.filter((l) => l.id !== listener.id);
    return others.length === across.length ? undefined : inner(level, children, others, sample);
  }
  const child = children.get(digit);
  if (!child) return undefined;
  const shrunk = withoutListener(child, listener);
  const left = new Map(children);
  if (countOf(shrunk) === 0) left.delete(digit);
  else left.set(digit, shrunk);
  return inner(level, left, across, sample);
}

export function listenersIn(tree: ListenerTree): readonly Listener[] {
  if (tree.kind === 'leaf') return tree.listeners;
  return [...tree.across, ...[...tree.children.values()].flatMap(listenersIn)];
}

/** The first level at which they are not all alike. Undefined: there is none. */
function splitLevel(listeners: readonly Listener[]): number | undefined {
  const [first] = listeners;
  if (!first) return undefined;
  for (let level = 0; level < LEVELS; level++) {
    const digit = digitAt(first, level);
    if (listeners.every((l) => digitAt(l, level) === digit)) {
      if (digit === undefined) return undefined;
      continue;
    }
    return level;
  }
  return undefined;
}

const leaf = (listeners: readonly Listener[]): Leaf => ({ kind: 'leaf', listeners: [...listeners].sort(compareListeners) });

function inner(level: number, children: ReadonlyMap<string, ListenerTree>, across: readonly Listener[], sample: Listener): Inner {
  const sorted = new Map([...children].sort(([a], [b]) => (a < b ? -1 : 1)));
  const count = [...children.values()].reduce((sum, c) => sum + countOf(c), across.length);
  return { kind: 'inner', level, sample, children: sorted, across: [...across].sort(compareListeners), count };
}
