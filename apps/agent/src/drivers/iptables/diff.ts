import type { Family } from '@gwctl/shared/domain/ip';
import { FORWARDING_KEYS } from '../host-conditions.js';
import { flowChanges } from './flow-changes.js';
import { TABLES, type TableName } from './layout.js';
import { acceptsFlows, type FamilyObserved, type Observed, onlyAccepts } from './observe.js';
import { companionSteps } from './other-filters.js';
import { closed, type FamilyRendered, isEmpty, type Rendered } from './render.js';
import type { FlowsStep, ForwardingStep, IptablesPlan, IptablesStep, RulesStep } from './steps.js';
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
  // What is left is left on purpose, until its flows have ended.
  if (leaving && observed.lingering) return [];
  const rules = diffRules(rendered, observed);
  const flows = flowChanges(rendered, observed, rules);
  const whenIdle = rules.some((s) => s.onlyWhenIdle);
  const later = whenIdle ? { onlyWhenIdle: true } : {};
  const companion = companionSteps(all.filters, family, leaving).map((s) => ({ ...s, ...later }));
  const forwarding = forwardingSteps(leaving, observed).map((s) => ({ ...s, ...later }));
  const look: IptablesStep[] = whenIdle ? [lookStep(family, flows)] : [];
  const written = new Set(rules.map((s) => s.table));
  const verify: IptablesStep[] =
    written.size === 0
      ? []
      : [
          verifyStep(
            rendered,
            TABLES.filter((t) => written.has(t)),
          ),
        ];
  // Forwarding is off while the rules still keep other traffic out, on once they are known to.
  if (leaving) return [...look, ...forwarding, ...rules, ...verify, ...companion, ...flows];
  return [...look, ...companion, ...rules, ...verify, ...forwarding, ...flows];
}

const lookStep = (family: Family, flows: readonly FlowsStep[]): IptablesStep => ({
  kind: 'look-for-flows',
  title: 'look whether flows of removed forwards are still alive',
  family,
  forwards: [],
  ignoring: flows.map((f) => f.match),
});

const verifyStep = (expect: FamilyRendered, tables: readonly TableName[]): IptablesStep => ({
  kind: 'verify',
  title: `read back ${expect.family === 6 ? 'ip6 ' : ''}${tables.join(', ')}`,
  family: expect.family,
  forwards: [],
  tables,
  expect,
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
  const changes = Object.fromEntries(
    TABLES.map((t) => [
      t,
      diffTable({ family: rendered.family, table: t, wanted: wanted.tables[t], observed: observed.tables[t] }),
    ]),
  ) as Record<TableName, TableChanges>;
  const { raw, mangle, filter, nat } = changes;
  const onlyWhenIdle = isEmpty(rendered) && acceptsFlows(observed.tables) && !onlyAccepts(observed.tables);
  const opened = holdOpenings(changes);
  return [
    ...raw.adds,
    ...opened.early,
    ...filter.adds,
    ...nat.adds,
    ...nat.removals,
    ...filter.removals.map((s) => (onlyWhenIdle ? { ...s, onlyWhenIdle } : s)),
    ...opened.late,
    ...mangle.removals,
    ...raw.removals,
  ];
}

/**
 * The additions to mangle, which come before those to nat. Where a forward's allow-list and its way change together, the old way must
 * not see sources of the new list: until nat has changed, only those stand that both lists name.
 */
function holdOpenings({ mangle, nat }: Record<TableName, TableChanges>): {
  readonly early: RulesStep[];
  readonly late: RulesStep[];
} {
  const rerouted = new Set([...nat.adds, ...nat.removals].flatMap((s) => s.forwards));
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
