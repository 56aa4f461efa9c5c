import type { Family } from '@gwctl/shared/domain/ip';
import { type FilterHook, type HookFilters, type IptablesForward, iptablesForward, VARIANTS } from '../../filters/filters.js';
import { FORWARDING_KEYS } from '../host-conditions.js';
import { type Comparison, compare, patchAfter, type SetChange } from './compare.js';
import { flowChanges } from './flow-changes.js';
import type { Observed, ObservedTable, ObservedTables, OwnWay } from './observe.js';
import { type Around, besideRelay, inOrder } from './order.js';
import { isEmpty, needsTable, type Rendered } from './render.js';
import { FAMILIES, POOL_CHAINS } from './sets.js';
import type { CompanionStep, ForwardingStep, NftablesPlan, NftablesStep, TableStep } from './steps.js';

/**
 * What turns `observed` into `rendered`, writing only what differs. Our tables change in one transaction. What lets flows pass stays
 * for as long as flows of a removed or changed forward live on it: they would otherwise end where other tools drop by default, and
 * with the table they would lose their translation.
 */
export function diff(rendered: Rendered, observed: Observed): NftablesPlan {
  const comparison = compare(rendered, observed);
  const table = tableSteps(rendered, observed, comparison);
  const flows = flowChanges(rendered, observed);
  // What the relay takes over may still have new flows with the kernel until that is written: whether any is alive tells a later look.
  const taken = (way: OwnWay) => rendered.listening[way.set.family] > 0 && !isLoose(way, observed);
  const ways = comparison.ways.filter((w) => !taken(w));
  const shared = FAMILIES.map((family): Around => {
    const leaving = isEmpty(rendered, family);
    const inputs = inputSteps(rendered, observed, family);
    if (leaving && waysIn(comparison, family).some(taken)) return { family, leaving, inputs, companions: [], forwarding: [] };
    const onlyWhenIdle = leaving && ways.some((w) => w.set.family === family);
    return {
      family,
      leaving,
      companions: companionSteps({ family, hook: 'FORWARD', leaving, filters: observed.filters, onlyWhenIdle }),
      inputs,
      forwarding: forwardingSteps(family, leaving, observed, onlyWhenIdle),
    };
  });
  const look: NftablesStep[] = [];
  const release: NftablesStep[] = [];
  if (ways.length > 0) {
    look.push({
      kind: 'look-for-flows',
      title: 'look whether flows of removed and changed forwards are still alive',
      forwards: [],
      ignoring: flows.map((f) => f.match),
      ways,
    });
    release.push({ kind: 'release', title: 'let go of removed and changed forwards without flows', forwards: [], ways });
  }
  for (const { family, leaving } of shared)
    if (leaving && observed.tables[family] && !needsTable(rendered, family))
      release.push({ kind: 'remove-table', title: titleOf(family, 'remove the table'), forwards: [], family });
  const related = FAMILIES.some((f) => rendered.listening[f] > 0 || relayListens(observed, f));
  const changes = related ? besideRelay(shared, table, release) : inOrder(shared, table, release);
  const steps = [...look, ...changes.rules];
  const writes = steps.some((s) => s.kind !== 'look-for-flows' && s.kind !== 'ip-forward');
  const after = tablesAfter(rendered, observed, comparison);
  if (writes) steps.push({ kind: 'verify', title: 'make sure that the kernel has it', forwards: [], expect: rendered, after });
  return { steps: [...steps, ...changes.afterwards, ...flows] };
}

/** Whether the relay listens now, as the table says. */
const relayListens = ({ base, tables }: Observed, family: Family): boolean =>
  base.listening[family] > 0 || [...(tables[family]?.patch.keys() ?? [])].some((set) => set.name.startsWith('relay-'));

/** What is still to do of what the kernel holds, as titles; flows and forwarding aside. `idle`: where no flow keeps anything in place. */
export function remaining(rendered: Rendered, observed: Observed, idle: ReadonlySet<Family>): string[] {
  const comparison = compare(rendered, observed);
  // With the last way just released, others' traffic is let through by a later plan, once forwarding is known to be off.
  const steps = tableSteps(rendered, observed, comparison).filter((s) => s.kind !== 'closed' || !isEmpty(rendered, s.family));
  const titles = steps.map((s) => s.title);
  for (const family of FAMILIES) {
    const leaving = isEmpty(rendered, family);
    titles.push(...inputSteps(rendered, observed, family).map((s) => s.title));
    if (leaving && (!idle.has(family) || waysIn(comparison, family).length > 0)) continue;
    if (!needsTable(rendered, family) && observed.tables[family]) titles.push(titleOf(family, 'remove the table'));
    const forward = { family, hook: 'FORWARD', leaving, filters: observed.filters, onlyWhenIdle: false } as const;
    titles.push(...companionSteps(forward).map((s) => s.title));
  }
  return titles;
}

/** Where forwarding was off before us, or still is, others' traffic is kept out. */
export function wantsClosed({ forwarding, forwarding6 }: Observed, family: Family): boolean {
  const state = family === 4 ? forwarding : forwarding6;
  return state !== undefined && (!state.on || state.ours);
}

/** Neither there nor usable: all of it is written. */
const isWhole = (table: ObservedTable | undefined): table is ObservedTable => table !== undefined && table.defects.length === 0;

/**
 * With the last forward, others' traffic is kept out for as long as flows go on; the table may stay for what the relay listens on, and
 * whoever then turns forwarding on is not in our way.
 */
function closedAfter(rendered: Rendered, observed: Observed, family: Family, kept: readonly OwnWay[]): boolean {
  if (!isEmpty(rendered, family)) return wantsClosed(observed, family);
  const stays = needsTable(rendered, family) && kept.length === 0;
  return !stays && (observed.tables[family]?.closed ?? false);
}

/** Whether nobody wanted it any more before, either. */
const isLoose = ({ set, key }: OwnWay, { tables }: Observed): boolean =>
  tables[set.family]?.patch.get(set)?.get(key)?.is !== undefined;

const waysIn = ({ ways }: Comparison, family: Family): readonly OwnWay[] => ways.filter((w) => w.set.family === family);

function tableSteps(rendered: Rendered, observed: Observed, comparison: Comparison): TableStep[] {
  const steps: TableStep[] = [];
  for (const family of FAMILIES) {
    const table = observed.tables[family];
    const leaving = !needsTable(rendered, family);
    if (leaving && !table) continue;
    const kept = waysIn(comparison, family);
    const closed = closedAfter(rendered, observed, family, kept);
    if (!isWhole(table)) {
      if (leaving && kept.length === 0) continue;
      // How many elements these are is not worth making all of them once more.
      const what = `${table ? 'rewrite' : 'add'} the table (${forwardsText(rendered.counts[family])})`;
      const forwards = rendered.forwardParts.filter((p) => p.family === family).map((p) => p.key);
      steps.push({ kind: 'rebuild', title: titleOf(family, what), forwards, family, rendered, kept, closed });
      continue;
    }
    const changes = comparison.changes.filter((c) => c.set.family === family);
    // Chains first: elements point to them.
    changes.sort((a, b) => Number(b.set === POOL_CHAINS[family]) - Number(a.set === POOL_CHAINS[family]));
    const own: TableStep[] = changes.map(elementsStep);
    if (closed !== table.closed) {
      const what = closed ? 'forward nothing but flows of forwards' : 'forward what others let pass, too';
      own.push({ kind: 'closed', title: titleOf(family, what), forwards: [], family, closed });
    }
    const stale = staleChains(table, changes);
    if (own.length > 0 && stale.size > 0)
      own.push({
        kind: 'sweep',
        title: titleOf(family, `delete ${stale.size} empty chains`),
        forwards: [],
        family,
        chains: stale,
      });
    steps.push(...own);
  }
  return steps;
}

/** Emptied before, and not wanted again. */
function staleChains({ emptied }: ObservedTable, changes: readonly SetChange[]): ReadonlyMap<string, number> {
  if (emptied.size === 0) return emptied;
  const back = new Set(changes.flatMap((c) => (c.set === POOL_CHAINS[c.set.family] ? [...c.added.keys()] : [])));
  return new Map([...emptied].filter(([chain]) => !back.has(chain)));
}

function elementsStep({ set, removed, added, owners }: SetChange): TableStep {
  const words = [
    ...(removed.size > 0 ? [`remove ${elementsText(removed.size)} from`] : []),
    ...(added.size > 0 ? [`add ${elementsText(added.size)} to`] : []),
  ];
  const title = titleOf(set.family, `${words.join(' and ')} ${set.name}`);
  return { kind: 'elements', title, forwards: [...owners], set, removed: [...removed.keys()], added };
}

const forwardsText = (count: number) => `${count} ${count === 1 ? 'forward' : 'forwards'}`;
const elementsText = (count: number) => `${count} ${count === 1 ? 'element' : 'elements'}`;
const titleOf = (family: Family, title: string) => (family === 4 ? title : `IPv6: ${title}`);

function tablesAfter(rendered: Rendered, observed: Observed, comparison: Comparison): ObservedTables {
  const after = (family: Family): ObservedTable | undefined => {
    const table = observed.tables[family];
    const leaving = !needsTable(rendered, family);
    const patch = patchAfter(family, comparison);
    if (leaving && (!table || (!isWhole(table) && patch.size === 0))) return table;
    const closed = closedAfter(rendered, observed, family, waysIn(comparison, family));
    if (!isWhole(table)) return { defects: [], closed, patch, emptied: new Map() };
    const pools = comparison.changes.find((c) => c.set === POOL_CHAINS[family]);
    const emptied = new Map(table.emptied);
    for (const chain of pools?.added.keys() ?? []) emptied.delete(chain);
    for (const chain of pools?.removed.keys() ?? []) if (!pools?.added.has(chain)) emptied.set(chain, Number.NaN);
    return { defects: [], closed, patch, emptied };
  };
  return { 4: after(4), 6: after(6) };
}

/** The same said by `rendered` instead of what it was told by, where the two differ in nothing. */
export function rebased(rendered: Rendered, observed: Observed): Observed {
  return { ...observed, base: rendered, tables: tablesAfter(rendered, observed, compare(rendered, observed)) };
}

/** Our rule stands where a filter of iptables may drop, and nowhere else. */
function companionSteps(of: {
  readonly family: Family;
  readonly hook: FilterHook;
  readonly leaving: boolean;
  readonly filters: HookFilters;
  readonly onlyWhenIdle: boolean;
}): CompanionStep[] {
  const { family, hook, leaving, filters, onlyWhenIdle } = of;
  return VARIANTS.flatMap((variant): CompanionStep[] => {
    const filter: IptablesForward | undefined = iptablesForward(filters, family, variant);
    if (!filter) return [];
    const wanted = !leaving && filter.drops !== undefined;
    const good = wanted ? filter.companions === 1 && filter.before === undefined : filter.companions === 0;
    if (good) return [];
    const program = `${family === 4 ? 'iptables' : 'ip6tables'}-${variant}`;
    const title = `${program}: ${wanted ? `accept our flows first in ${hook}` : `remove our rule from ${hook}`}`;
    return [{ kind: 'companion', title, forwards: [], family, hook, variant, wanted, present: filter.companions, onlyWhenIdle }];
  });
}

/** The same for what comes to the relay. */
const inputSteps = (rendered: Rendered, { filters }: Observed, family: Family): CompanionStep[] =>
  companionSteps({
    family,
    hook: 'INPUT',
    leaving: rendered.listening[family] === 0,
    filters: filters.input,
    onlyWhenIdle: false,
  });

function forwardingSteps(family: Family, leaving: boolean, observed: Observed, onlyWhenIdle: boolean): ForwardingStep[] {
  const state = family === 4 ? observed.forwarding : observed.forwarding6;
  const shared = { kind: 'ip-forward', forwards: [], family, onlyWhenIdle } as const;
  const key = FORWARDING_KEYS[family];
  if (!leaving && state?.on === false) return [{ ...shared, to: 'on', title: `set ${key} to 1` }];
  if (leaving && state?.ours) return [{ ...shared, to: 'restored', title: `set ${key} back to 0` }];
  return [];
}
