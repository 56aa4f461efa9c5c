import type { Family } from '@gwctl/shared/domain/ip';
import { FORWARDING_KEYS } from '../host-conditions.js';
import { flowChanges } from './flow-changes.js';
import { CHAINS, TABLES, type TableName } from './layout.js';
import { acceptsFlows, type FamilyObserved, type Observed, type ObservedTable, onlyAccepts } from './observe.js';
import { companionSteps } from './other-filters.js';
import { closed, type FamilyRendered, isEmpty, type Rendered, type RenderedTable } from './render.js';
import { ShardMap } from './shard-map.js';
import type { FlowsStep, ForwardingStep, IptablesPlan, IptablesStep, LetPassStep, RulesStep } from './steps.js';
import { diffTable, type TableChanges } from './table-diff.js';

/**
 * What turns `observed` into `rendered`, writing only what differs. The kernel commits table by table, so the order is one in which a
 * plan that stops half-way leaves "not forwarded yet" or "no longer forwarded", never "forwarded unfiltered": what filters comes
 * before nat and goes after it.
 */
export function diff(rendered: Rendered, observed: Observed): IptablesPlan {
  return { of: rendered, steps: observed.families.flatMap((f) => diffFamily(rendered.families[f.family], f, observed)) };
}

function diffFamily(rendered: FamilyRendered, observed: FamilyObserved, all: Observed): IptablesStep[] {
  const { family } = rendered;
  const leaving = isEmpty(rendered);
  // What is left of the acceptance of flows is left on purpose, until they have ended.
  const lingering = lingers(rendered, observed);
  const rules = diffRules(rendered, observed);
  const flows = flowChanges(rendered, observed, rules);
  const whenIdle = rules.some((s) => s.onlyWhenIdle);
  const later = whenIdle ? { onlyWhenIdle: true } : {};
  const forward = companionSteps(all.filters, { family, hook: 'FORWARD', leaving });
  const input = companionSteps(all.filters, { family, hook: 'INPUT', leaving: rendered.relayed.size === 0 });
  const companion = lingering ? [] : forward.map((s) => ({ ...s, ...later }));
  // Who moves from the relay to the kernel is let in by the one until the other has it.
  const [opens, closes] = [input.filter((s) => s.wanted), input.filter((s) => !s.wanted)];
  const forwarding = lingering ? [] : forwardingSteps(leaving, observed).map((s) => ({ ...s, ...later }));
  const look: IptablesStep[] = whenIdle ? [lookStep(family, flows)] : [];
  const written = new Set(rules.map((s) => s.table));
  const verify: IptablesStep[] =
    written.size === 0
      ? []
      : [
          verifyStep(
            rendered,
            TABLES.filter((t) => written.has(t)),
            lingering,
          ),
        ];
  const steps = { look, companion, opens, rules, verify, closes, forwarding, flows };
  // What the relay has, or is to have, changes hands only once whoever gets it can carry it.
  const related = rendered.relayed.size > 0 || observed.tables.filter.chains.has(CHAINS.input);
  return related ? besideRelay({ family, leaving }, steps) : inOrder(leaving, steps);
}

type Steps = Readonly<
  Record<'look' | 'companion' | 'opens' | 'verify' | 'closes' | 'forwarding' | 'flows', readonly IptablesStep[]>
> & { readonly rules: readonly RulesStep[] };

/** Forwarding is off while the rules still keep other traffic out, on once they are known to. */
function inOrder(leaving: boolean, { look, companion, rules, verify, forwarding, flows }: Steps): IptablesStep[] {
  if (leaving) return [...look, ...forwarding, ...rules, ...verify, ...companion, ...flows];
  return [...look, ...companion, ...rules, ...verify, ...forwarding, ...flows];
}

/**
 * Nat decides who has new flows: what they need with the kernel comes before it, and what they needed goes after it, once no packet is
 * under way that the old rules of nat let in. Such a packet would leave without its source address, or be refused in the input hook.
 */
function besideRelay({ family, leaving }: { readonly family: Family; readonly leaving: boolean }, steps: Steps): IptablesStep[] {
  const { look, companion, opens, verify, closes, forwarding, flows } = steps;
  const first = steps.rules.findIndex((s) => s.table === 'nat');
  const decided = steps.rules.findLastIndex((s) => s.table === 'nat' && s.exit !== true) + 1;
  const waits = decided > 0 && (decided < steps.rules.length || closes.length > 0);
  const rules: readonly (RulesStep | LetPassStep)[] = waits
    ? [...steps.rules.slice(0, decided), letPass(family), ...steps.rules.slice(decided)]
    : steps.rules;
  const last = rules.findLastIndex((s) => s.kind === 'let-pass' || s.table === 'nat');
  if (leaving)
    return [
      ...look,
      ...opens,
      ...rules.slice(0, last + 1),
      ...forwarding,
      ...rules.slice(last + 1),
      ...verify,
      ...companion,
      ...closes,
      ...flows,
    ];
  const cut = first < 0 ? rules.length : first;
  return [
    ...look,
    ...companion,
    ...opens,
    ...rules.slice(0, cut),
    ...forwarding,
    ...rules.slice(cut),
    ...verify,
    ...closes,
    ...flows,
  ];
}

const letPass = (family: Family): LetPassStep => ({
  kind: 'let-pass',
  title: `wait until packets that are under way are through${family === 6 ? ', of IPv6' : ''}`,
  family,
  forwards: [],
});

const lookStep = (family: Family, flows: readonly FlowsStep[]): IptablesStep => ({
  kind: 'look-for-flows',
  title: 'look whether flows of removed forwards are still alive',
  family,
  forwards: [],
  ignoring: flows.map((f) => f.match),
});

/**
 * Whether the acceptance of flows stays although nothing is forwarded: while some are alive, and where the relay takes over from the
 * kernel, which may still have new ones until nat is written. Whether any is alive tells a later look.
 */
const lingers = (rendered: FamilyRendered, { lingering, tables }: FamilyObserved): boolean =>
  isEmpty(rendered) && (lingering === true || (rendered.relayed.size > 0 && tables.nat.chains.has(CHAINS.dispatch)));

const verifyStep = (expect: FamilyRendered, tables: readonly TableName[], lingering: boolean): IptablesStep => ({
  kind: 'verify',
  title: `read back ${expect.family === 6 ? 'ip6 ' : ''}${tables.join(', ')}`,
  family: expect.family,
  forwards: [],
  tables,
  expect,
  lingering,
});

function forwardingSteps(leaving: boolean, { family, forwarding }: FamilyObserved): ForwardingStep[] {
  const shared = { kind: 'ip-forward', family, forwards: [] } as const;
  const key = FORWARDING_KEYS[family];
  if (!leaving && !forwarding.on) return [{ ...shared, to: 'on', title: `set ${key} to 1` }];
  if (leaving && forwarding.ours) return [{ ...shared, to: 'restored', title: `set ${key} back to 0` }];
  return [];
}

/** What the rules are compared with: where forwarding was off before us, or still is, the forward hook is closed to others. */
export const wantedOf = (rendered: FamilyRendered, { forwarding }: Pick<FamilyObserved, 'forwarding'>): FamilyRendered =>
  !forwarding.on || forwarding.ours ? closed(rendered) : rendered;

/**
 * The part of the difference that is rules. After the last forward, our acceptance in the forward hook goes only when no flow of ours
 * is alive: flows of drained forwards would otherwise end where other tools drop by default.
 */
export function diffRules(rendered: FamilyRendered, observed: FamilyObserved): RulesStep[] {
  const wanted = wantedOf(rendered, observed);
  const { family } = rendered;
  const compare = (table: TableName, part: FilterPart = WHOLE): TableChanges =>
    diffTable({ family, table, wanted: part(wanted.tables[table]), observed: part(observed.tables[table]) });
  const changes = { raw: compare('raw'), mangle: compare('mangle'), nat: compare('nat') };
  const { raw, mangle, nat } = changes;
  const input = compare('filter', inputPart);
  const filter = lingers(rendered, observed) ? NOTHING : compare('filter', forwardPart);
  const onlyWhenIdle = isEmpty(rendered) && acceptsFlows(observed.tables) && !onlyAccepts(observed.tables);
  const opened = holdOpenings(changes);
  return [
    ...raw.adds,
    ...opened.early,
    ...filter.adds,
    ...input.adds,
    ...nat.adds,
    ...nat.removals,
    ...nat.exits,
    ...filter.removals.map((s) => (onlyWhenIdle ? { ...s, onlyWhenIdle } : s)),
    ...input.removals,
    ...opened.late,
    ...mangle.removals,
    ...raw.removals,
  ];
}

/**
 * The additions to mangle, which come before those to nat. Where a forward's allow-list and its way change together, the old way must
 * not see sources of the new list: until nat has changed, only those stand that both lists name.
 */
function holdOpenings({ mangle, nat }: Readonly<Record<'mangle' | 'nat', TableChanges>>): {
  readonly early: RulesStep[];
  readonly late: RulesStep[];
} {
  const rerouted = new Set([...nat.adds, ...nat.removals, ...nat.exits].flatMap((s) => s.forwards));
  const late: RulesStep[] = [];
  const early = mangle.adds.map(({ replaces, ...step }): RulesStep => {
    const [key] = step.forwards;
    if (replaces === undefined || key === undefined || !rerouted.has(key)) return step;
    const old = new Set(replaces);
    const narrowed = step.lines.filter((line) => !line.includes(':allow"') || old.has(line.replace(/^-A \S+ /, '')));
    if (narrowed.length === step.lines.length) return step;
    late.push(step);
    return { ...step, lines: narrowed, title: `${step.title}, first only what was allowed before` };
  });
  return { early, late };
}

/** What stays in a table of only some of its chains. */
type FilterPart = <T extends RenderedTable | ObservedTable>(table: T) => T;

const WHOLE: FilterPart = (table) => table;
const NOTHING: TableChanges = { adds: [], removals: [], exits: [] };

/** The part of the table filter that accepts what comes to the relay: no flow of the kernel's lives on it. */
const inputPart: FilterPart = (table) => {
  const chain = table.chains.get(CHAINS.input);
  const hooks = (table.hooks as ObservedTable['hooks']).filter((h) => h.chain === 'INPUT');
  return { ...table, hooks, chains: ShardMap.of(chain ? [[CHAINS.input, chain]] : []) };
};

/** All the rest of it. */
const forwardPart: FilterPart = (table) => {
  const hooks = (table.hooks as ObservedTable['hooks']).filter((h) => h.chain !== 'INPUT');
  return { ...table, hooks, chains: (table.chains as ObservedTable['chains']).with([[CHAINS.input, undefined]]) };
};
