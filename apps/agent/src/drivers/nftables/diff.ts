import { VARIANTS } from './filters.js';
import { flowChanges } from './flow-changes.js';
import { SETS, type SetName } from './layout.js';
import { elementsOf, isOwnSet, type Observed, type ObservedTable, type OwnElement, ownElements } from './observe.js';
import { type Element, isEmpty, type Rendered, type Suffix } from './render.js';
import type { CompanionStep, ForwardingStep, NftablesPlan, NftablesStep, TableStep } from './steps.js';

/**
 * What turns `observed` into `rendered`, writing only what differs. Our table changes in one transaction. What lets flows pass stays
 * for as long as flows of a removed or changed forward live on it: they would otherwise end where other tools drop by default, and
 * with the table they would lose their translation.
 */
export function diff(rendered: Rendered, observed: Observed): NftablesPlan {
  const table = tableSteps(rendered, observed);
  const flows = flowChanges(rendered, observed.table, table);
  const leaving = isEmpty(rendered);
  const ways = leftoverWays(rendered, observed.table);
  const onlyWhenIdle = leaving && ways.length > 0;
  const companions = companionSteps(leaving, observed, onlyWhenIdle);
  const forwarding = forwardingStep(leaving, observed, onlyWhenIdle);
  const steps: NftablesStep[] = [];
  if (ways.length > 0)
    steps.push({
      kind: 'look-for-flows',
      title: 'look whether flows of removed and changed forwards are still alive',
      forwards: [],
      ignoring: flows.map((f) => f.match),
      ways,
    });
  // Off while the rules still keep other traffic out, on once they are known to.
  if (leaving && forwarding) steps.push(forwarding);
  if (leaving) steps.push(...companions);
  steps.push(...table);
  if (ways.length > 0)
    steps.push({ kind: 'release', title: 'let go of removed and changed forwards without flows', forwards: [], ways });
  if (leaving && observed.table) steps.push({ kind: 'remove-table', title: 'remove the table', forwards: [] });
  if (!leaving) steps.push(...companions);
  const writes = steps.some((s) => s.kind !== 'look-for-flows' && s.kind !== 'ip-forward');
  if (writes) steps.push({ kind: 'verify', title: 'make sure that the kernel has it', forwards: [], expect: rendered });
  if (!leaving && forwarding) steps.push(forwarding);
  steps.push(...flows);
  return { steps };
}

/** What is still to do of what the kernel holds, as titles; flows and forwarding aside. `idle`: no flow keeps anything in place. */
export function remaining(rendered: Rendered, observed: Observed, idle: boolean): string[] {
  const gone = isEmpty(rendered) && observed.table !== undefined && idle ? ['remove the table'] : [];
  const companions = companionSteps(isEmpty(rendered), observed, false).filter(() => !isEmpty(rendered) || idle);
  return [...tableSteps(rendered, observed), ...companions].map((s) => s.title).concat(gone);
}

/** The elements that let flows pass which no forward asks for any more. */
function leftoverWays(rendered: Rendered, table: ObservedTable | undefined): OwnElement[] {
  return ownElements(table, (set, key) => !rendered.sets.get(set)?.has(key));
}

/** Where forwarding was off before us, or still is, others' traffic is kept out. */
export const wantsClosed = ({ forwarding }: Observed): boolean => !forwarding.on || forwarding.ours;

function tableSteps(rendered: Rendered, observed: Observed): TableStep[] {
  const { table } = observed;
  const leaving = isEmpty(rendered);
  if (leaving && !table) return [];
  const closed = leaving ? (table?.closed ?? false) : wantsClosed(observed);
  if (!table || table.defects.length > 0) return leaving && !keepsFlows(table) ? [] : [rebuild(rendered, table, closed)];
  const steps = SETS.flatMap(({ name }) => elementsStep(name, rendered.sets.get(name) ?? new Map(), elementsOf(table, name)));
  if (closed !== table.closed)
    steps.push({
      kind: 'closed',
      title: closed ? 'forward nothing but flows of forwards' : 'forward what others let pass, too',
      forwards: [],
      closed,
    });
  return steps;
}

const keepsFlows = (table: ObservedTable | undefined) => ownElements(table, () => true).length > 0;

function rebuild(rendered: Rendered, table: ObservedTable | undefined, closed: boolean): TableStep {
  const sets = new Map<SetName, Map<string, Suffix>>();
  for (const { name } of SETS) {
    const wanted = [...(rendered.sets.get(name) ?? [])].map(([key, { suffix }]): [string, Suffix] => [key, suffix]);
    const kept = table && isOwnSet(name) ? elementsOf(table, name) : [];
    sets.set(name, new Map([...kept, ...wanted]));
  }
  const count = [...sets.values()].reduce((sum, elements) => sum + elements.size, 0);
  const title = `${table ? 'rewrite' : 'add'} the table (${rendered.forwards.size} forwards, ${elementsText(count)})`;
  return { kind: 'rebuild', title, forwards: [...rendered.forwards.keys()], sets, closed };
}

function elementsStep(set: SetName, wanted: ReadonlyMap<string, Element>, present: ReadonlyMap<string, string>): TableStep[] {
  const added = new Map<string, Suffix>();
  const removed: string[] = [];
  const forwards = new Set<string>();
  for (const [key, element] of wanted) {
    const suffix = present.get(key);
    if (suffix === element.suffix) continue;
    // The kernel takes no other value for an element that is there.
    if (suffix !== undefined) removed.push(key);
    added.set(key, element.suffix);
    for (const forward of element.forwards) forwards.add(forward);
  }
  for (const [key, suffix] of present) {
    if (wanted.has(key) || isOwnSet(set)) continue;
    removed.push(key);
    const forward = /^ comment "([0-9a-f]{8}):/.exec(suffix)?.[1];
    if (forward !== undefined) forwards.add(forward);
  }
  if (added.size + removed.length === 0) return [];
  const words = [
    ...(removed.length > 0 ? [`remove ${elementsText(removed.length)} from`] : []),
    ...(added.size > 0 ? [`add ${elementsText(added.size)} to`] : []),
  ];
  return [{ kind: 'elements', title: `${words.join(' and ')} ${set}`, forwards: [...forwards], set, removed, added }];
}

const elementsText = (count: number) => `${count} ${count === 1 ? 'element' : 'elements'}`;

/** Our rule stands where a filter of iptables may drop what is forwarded, and nowhere else. */
function companionSteps(leaving: boolean, { filters }: Observed, onlyWhenIdle: boolean): CompanionStep[] {
  return VARIANTS.flatMap((variant): CompanionStep[] => {
    const filter = filters[variant];
    if (!filter) return [];
    const wanted = !leaving && filter.drops !== undefined;
    const good = wanted ? filter.companions === 1 && filter.before === undefined : filter.companions === 0;
    if (good) return [];
    const title = `iptables-${variant}: ${wanted ? 'accept our flows first in FORWARD' : 'remove our rule from FORWARD'}`;
    return [{ kind: 'companion', title, forwards: [], variant, wanted, present: filter.companions, onlyWhenIdle }];
  });
}

function forwardingStep(leaving: boolean, { forwarding }: Observed, onlyWhenIdle: boolean): ForwardingStep | undefined {
  const shared = { kind: 'ip-forward', forwards: [], onlyWhenIdle } as const;
  if (!leaving && !forwarding.on) return { ...shared, to: 'on', title: 'set net.ipv4.ip_forward to 1' };
  if (leaving && forwarding.ours) return { ...shared, to: 'restored', title: 'set net.ipv4.ip_forward back to 0' };
  return undefined;
}
