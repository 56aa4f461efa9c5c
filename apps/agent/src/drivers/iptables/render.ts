import type { Family } from '@gwctl/shared/domain/ip';
import { type Changes, changesOf } from '../../planner/sorted-list.js';
import type { HostDesired, PlacedEgress, PlacedForward, PlacedRelayed, ProtectedListener } from '../../planner/types.js';
import { markRules, translationRules } from './egress-rules.js';
import {
  allowChain,
  CHAINS,
  comment,
  egressChain,
  egressMarkChain,
  HOOKS,
  type Hook,
  TABLES,
  type TableName,
  targetsChain,
} from './layout.js';
import { answersOf, ftpListenerOf, type Listener, listenersOf, relayListenersOf, sourceOf } from './listener-digits.js';
import { countOf, EMPTY_TREE, type ListenerTree, treeOf, withListener, withoutListener } from './listener-tree.js';
import { RELAY_TREE } from './relay-rules.js';
import {
  ALLOW_TREE,
  ANSWER_TREE,
  allowRules,
  COUNT_TREE,
  DNAT_ANY_TREE,
  DNAT_TREE,
  FTP_TREE,
  INVALID_TREE,
  MSS_TREE,
  SNAT_TREE,
  targetRules,
} from './rules.js';
import { ShardMap } from './shard-map.js';
import { OURS, writeSharedChains } from './shared-chains.js';
import { SOURCE_COUNT_TREE, SOURCE_MARK_TREE, SOURCE_SNAT_TREE } from './source-rules.js';
import { type TreeLayout, treeChains } from './tree-chains.js';

/**
 * Rules as iptables-save prints them, without the leading `-A CHAIN `. `own`: written as a whole, in this order. `shared`: rules of
 * many, in groups of one forward each; the order within a group matters, that of groups does not, and what stays is never touched,
 * for it counts.
 */
export interface RenderedChain {
  readonly kind: 'own' | 'shared';
  readonly rules: readonly string[];
}

export interface RenderedTable {
  readonly hooks: readonly Hook[];
  readonly chains: ShardMap<RenderedChain>;
}

type Tables = Readonly<Record<TableName, RenderedTable>>;

/** What one family needs. */
export interface FamilyRendered {
  readonly family: Family;
  readonly tables: Tables;
  /** By key. */
  readonly forwards: ShardMap<PlacedForward>;
  readonly egresses: ShardMap<PlacedEgress>;
  /** Of the relay, those that listen in this family. */
  readonly relayed: ShardMap<PlacedRelayed>;
  readonly trees: Trees;
  /** How many forwards have each target; by the id of its listener. */
  readonly answers: ShardMap<number>;
}

export interface Rendered {
  readonly desired: HostDesired;
  readonly families: Readonly<Record<Family, FamilyRendered>>;
}

const TREES = {
  ftp: { table: 'raw', layout: FTP_TREE, listenersOf: ftpListenerOf },
  invalid: { table: 'mangle', layout: INVALID_TREE, listenersOf: (f) => listenersOf(f).filter((l) => l.protocol !== 'udp') },
  allow: { table: 'mangle', layout: ALLOW_TREE, listenersOf: (f) => (f.allow ? listenersOf(f) : []) },
  mss: {
    table: 'mangle',
    layout: MSS_TREE,
    listenersOf: (f) => (f.clampMss ? listenersOf(f).filter((l) => l.protocol !== 'udp') : []),
  },
  count: { table: 'filter', layout: COUNT_TREE, listenersOf },
  sourceMark: { table: 'mangle', layout: SOURCE_MARK_TREE, listenersOf: sourceOf },
  sourceCount: { table: 'filter', layout: SOURCE_COUNT_TREE, listenersOf: sourceOf },
  sourceSnat: { table: 'nat', layout: SOURCE_SNAT_TREE, listenersOf: sourceOf },
  dnat: { table: 'nat', layout: DNAT_TREE, listenersOf: (f) => (f.listen.address ? listenersOf(f) : []) },
  dnatAny: { table: 'nat', layout: DNAT_ANY_TREE, listenersOf: (f) => (f.listen.address ? [] : listenersOf(f)) },
  snat: { table: 'nat', layout: SNAT_TREE, listenersOf: (f) => (f.snat.mode === 'masquerade' ? [] : listenersOf(f)) },
} as const satisfies Record<
  string,
  { readonly table: TableName; readonly layout: TreeLayout; readonly listenersOf: (f: PlacedForward) => readonly Listener[] }
>;
type TreeName = keyof typeof TREES | 'answer' | 'relay';
type Trees = Readonly<Record<TreeName, ListenerTree>>;
const FORWARD_TREES = Object.keys(TREES) as readonly (keyof typeof TREES)[];

/**
 * Everything that `desired` needs, in the words of iptables-save, so that comparing is comparing text. What is the same object as in
 * `previous` is taken from there.
 */
export function render(desired: HostDesired, previous?: Rendered): Rendered {
  if (previous && sameHost(previous.desired, desired)) return previous.desired === desired ? previous : { ...previous, desired };
  const forwards = changesOf(previous?.desired.forwards ?? [], desired.forwards);
  const egresses = changesOf(previous?.desired.egresses ?? [], desired.egresses);
  const relayed = changesOf(previous?.desired.relayed ?? [], desired.relayed);
  const listens = (family: Family) => (r: PlacedRelayed) => r.listen.families.includes(family);
  const one = (family: Family) => {
    const of = <T extends { readonly family: Family }>({ gone, come }: Changes<T>) => ({
      gone: gone.filter((x) => x.family === family),
      come: come.filter((x) => x.family === family),
    });
    return renderFamily({
      family,
      before: previous?.families[family] ?? nothing(family),
      forwards: of(forwards),
      egresses: of(egresses),
      relayed: { gone: relayed.gone.filter(listens(family)), come: relayed.come.filter(listens(family)) },
      guarded: desired.protected.filter((p) => p.address === undefined || p.address.family === family),
    });
  };
  return { desired, families: { 4: one(4), 6: one(6) } };
}

const sameHost = (a: HostDesired, b: HostDesired): boolean =>
  a.forwards === b.forwards && a.egresses === b.egresses && a.relayed === b.relayed && a.protected === b.protected;

function nothing(family: Family): FamilyRendered {
  const table: RenderedTable = { hooks: [], chains: ShardMap.of() };
  return {
    family,
    tables: { raw: table, mangle: table, filter: table, nat: table },
    forwards: ShardMap.of(),
    egresses: ShardMap.of(),
    relayed: ShardMap.of(),
    answers: ShardMap.of(),
    trees: Object.fromEntries([...FORWARD_TREES, 'answer', 'relay'].map((name) => [name, EMPTY_TREE])) as Record<
      TreeName,
      ListenerTree
    >,
  };
}

/** What becomes of chains; undefined for one that goes. */
export type Written = Record<TableName, Map<string, RenderedChain | undefined>>;

function renderFamily(change: {
  readonly family: Family;
  readonly before: FamilyRendered;
  readonly forwards: Changes<PlacedForward>;
  readonly egresses: Changes<PlacedEgress>;
  readonly relayed: Changes<PlacedRelayed>;
  readonly guarded: readonly ProtectedListener[];
}): FamilyRendered {
  const { family, before } = change;
  const written: Written = { raw: new Map(), mangle: new Map(), filter: new Map(), nat: new Map() };
  const { answers, ...targets } = countAnswers(before.answers, change.forwards);
  const trees = {
    ...growTrees(before.trees, change.forwards, written),
    answer: grown(ANSWER_TREE, before.trees.answer, targets, written.mangle),
    relay: grown(RELAY_TREE, before.trees.relay, relayChanges(family, change.relayed), written.mangle),
  };
  const forwards = applied(before.forwards, change.forwards);
  const egresses = applied(before.egresses, change.egresses);
  const relayed = applied(before.relayed, change.relayed);
  writeOwnChains(change, written);
  writeSharedChains({ family, forwards, egresses, trees, guarded: change.guarded }, written);
  const tables = Object.fromEntries(
    TABLES.map((table) => {
      const chains = before.tables[table].chains.with(changed(before.tables[table].chains, written[table]));
      return [table, { chains, hooks: HOOKS[family][table].filter((h) => chains.has(h.to)) }];
    }),
  ) as unknown as Tables;
  return { family, tables, forwards, egresses, relayed, trees, answers };
}

const relayChanges = (family: Family, { gone, come }: Changes<PlacedRelayed>): Changes<Listener> => ({
  gone: gone.flatMap((r) => relayListenersOf(r, family)),
  come: come.flatMap((r) => relayListenersOf(r, family)),
});

function applied<T extends { readonly key: string }>(before: ShardMap<T>, { gone, come }: Changes<T>): ShardMap<T> {
  return before.with([...gone.map((x) => [x.key, undefined] as const), ...come.map((x) => [x.key, x] as const)]);
}

/** A chain that says the same stays the same object. */
function* changed(
  before: ShardMap<RenderedChain>,
  written: ReadonlyMap<string, RenderedChain | undefined>,
): Generator<readonly [string, RenderedChain | undefined]> {
  for (const [name, chain] of written) {
    const old = before.get(name);
    if (old && chain && sameChain(old, chain)) continue;
    yield [name, chain];
  }
}

const sameChain = (a: RenderedChain, b: RenderedChain): boolean =>
  a.kind === b.kind && a.rules.length === b.rules.length && a.rules.every((rule, i) => rule === b.rules[i]);

function growTrees(before: Trees, { gone, come }: Changes<PlacedForward>, written: Written): Omit<Trees, 'answer' | 'relay'> {
  return Object.fromEntries(
    FORWARD_TREES.map((name) => {
      const { table, layout, listenersOf: of } = TREES[name];
      const change = { gone: gone.flatMap((f) => of(f)), come: come.flatMap((f) => of(f)) };
      return [name, grown(layout, before[name], change, written[table])];
    }),
  ) as Omit<Record<TreeName, ListenerTree>, 'answer' | 'relay'>;
}

/** The tree after a change; what differs of its chains goes into `written`. */
function grown(
  layout: TreeLayout,
  old: ListenerTree,
  { gone, come }: Changes<Listener>,
  written: Written[TableName],
): ListenerTree {
  let tree = old;
  if (countOf(tree) === 0) tree = treeOf(come);
  else {
    for (const listener of gone) tree = withoutListener(tree, listener);
    for (const listener of come) tree = withListener(tree, listener);
  }
  for (const [chain, rules] of treeChains(layout, tree, old)) written.set(chain, rules);
  return tree;
}

/** Targets that nobody had before, and those that nobody has any more. */
function countAnswers(before: ShardMap<number>, { gone, come }: Changes<PlacedForward>) {
  const counts = new Map<string, { readonly listener: Listener; count: number }>();
  const add = (listener: Listener, by: number) => {
    const known = counts.get(listener.id) ?? { listener, count: before.get(listener.id) ?? 0 };
    counts.set(listener.id, known);
    known.count += by;
  };
  for (const forward of gone) for (const listener of answersOf(forward)) add(listener, -1);
  for (const forward of come) for (const listener of answersOf(forward)) add(listener, 1);
  const all = [...counts.values()];
  return {
    answers: before.with(all.map(({ listener, count }) => [listener.id, count === 0 ? undefined : count])),
    gone: all.filter(({ listener, count }) => count === 0 && before.has(listener.id)).map((c) => c.listener),
    come: all.filter(({ listener, count }) => count > 0 && !before.has(listener.id)).map((c) => c.listener),
  };
}

const own = (rules: readonly string[]): RenderedChain => ({ kind: 'own', rules });

/** Chains of single forwards and egresses. */
function writeOwnChains(
  { forwards, egresses }: { readonly forwards: Changes<PlacedForward>; readonly egresses: Changes<PlacedEgress> },
  { mangle, nat }: Written,
): void {
  for (const { key } of forwards.gone) {
    mangle.set(allowChain(key), undefined);
    nat.set(targetsChain(key), undefined);
  }
  for (const forward of forwards.come) {
    if (forward.allow) mangle.set(allowChain(forward.key), own(allowRules(forward)));
    const targets = targetRules(forward);
    if (targets) nat.set(targetsChain(forward.key), own(targets));
  }
  for (const { key } of egresses.gone) {
    mangle.set(egressMarkChain(key), undefined);
    nat.set(egressChain(key), undefined);
  }
  for (const egress of egresses.come) {
    mangle.set(egressMarkChain(egress.key), own(markRules(egress)));
    nat.set(egressChain(egress.key), own(translationRules(egress)));
  }
}

/** What stands in the forward hook besides our acceptance where we turned forwarding on: nothing but our flows is forwarded. */
export const CLOSED = `${comment('fwd', 'closed')} -j DROP`;
const CLOSED_CHAIN = own([OURS, CLOSED]);
const closedOnes = new WeakMap<FamilyRendered, FamilyRendered>();

/** The same for a host that was not forwarding before us: see {@link CLOSED}. */
export function closed(rendered: FamilyRendered): FamilyRendered {
  const { filter } = rendered.tables;
  if (!filter.chains.has(CHAINS.forward)) return rendered;
  const known = closedOnes.get(rendered);
  if (known) return known;
  const chains = filter.chains.with([[CHAINS.forward, CLOSED_CHAIN]]);
  const made = { ...rendered, tables: { ...rendered.tables, filter: { hooks: filter.hooks, chains } } };
  closedOnes.set(rendered, made);
  return made;
}

/** Whether nothing is forwarded. Chains may be wanted all the same, for what the relay listens on. */
export const isEmpty = ({ forwards, egresses }: FamilyRendered): boolean => forwards.size + egresses.size === 0;

export const NOTHING_DESIRED: HostDesired = { forwards: [], egresses: [], protected: [], announced: [], relayed: [] };
