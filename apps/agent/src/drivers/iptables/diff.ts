import { flowChanges } from './flow-changes.js';
import { CHAINS, keyOfChain, keyOfRule, TABLES, type TableName } from './layout.js';
import type { Observed, ObservedTable } from './observe.js';
import { type ChainKind, closed, isEmpty, type Rendered, type RenderedChain, type RenderedTable, type Rule } from './render.js';
import type { ForwardingStep, IptablesPlan, IptablesStep, RulesStep } from './steps.js';

/**
 * What turns `observed` into `rendered`, writing only what differs. The kernel commits table by table, so the order is one in which a
 * plan that stops half-way leaves "not forwarded yet" or "no longer forwarded", never "forwarded unfiltered": what filters comes
 * before nat and goes after it.
 */
export function diff(rendered: Rendered, observed: Observed): IptablesPlan {
  const rules = diffRules(rendered, observed);
  const flows = flowChanges(rendered, observed, rules);
  const leaving = isEmpty(rendered);
  const written = new Set(rules.map((s) => s.table));
  const whenIdle = rules.some((s) => s.onlyWhenIdle);
  const forwarding = forwardingStep(leaving, observed, whenIdle);
  const steps: IptablesStep[] = [];
  if (whenIdle)
    steps.push({
      kind: 'look-for-flows',
      title: 'look whether flows of removed forwards are still alive',
      forwards: [],
      ignoring: flows.map((f) => f.match),
    });
  // Off while the rules still keep other traffic out, on once they are known to.
  if (leaving && forwarding) steps.push(forwarding);
  steps.push(...rules);
  if (written.size > 0)
    steps.push({
      kind: 'verify',
      title: `read back ${[...written].join(', ')}`,
      forwards: [],
      tables: TABLES.filter((t) => written.has(t)),
      expect: rendered,
    });
  if (!leaving && forwarding) steps.push(forwarding);
  steps.push(...flows);
  return { steps };
}

function forwardingStep(leaving: boolean, { forwarding }: Observed, whenIdle: boolean): ForwardingStep | undefined {
  const shared = { kind: 'ip-forward', forwards: [] } as const;
  if (!leaving && !forwarding.on) return { ...shared, to: 'on', title: 'set net.ipv4.ip_forward to 1' };
  if (leaving && forwarding.ours)
    return { ...shared, to: 'restored', title: 'set net.ipv4.ip_forward back to 0', ...(whenIdle ? { onlyWhenIdle: true } : {}) };
  return undefined;
}

/**
 * The part of the difference that is rules. Where forwarding was off before us, or still is, the forward hook is closed to others.
 * After the last forward, our acceptance in the forward hook goes only when no flow of ours is alive: flows of drained forwards
 * would otherwise end where other tools drop by default.
 */
export function diffRules(rendered: Rendered, observed: Observed): RulesStep[] {
  const { forwarding, tables } = observed;
  const wanted = !forwarding.on || forwarding.ours ? closed(rendered) : rendered;
  const changes = Object.fromEntries(TABLES.map((t) => [t, diffTable(t, wanted.tables[t], tables[t])])) as Record<
    TableName,
    Changes
  >;
  const onlyWhenIdle = isEmpty(rendered) && keepsFlows(tables.filter);
  return [
    ...holdOpenings(changes),
    ...changes.filter.adds,
    ...changes.nat.adds,
    ...changes.nat.removals,
    ...changes.filter.removals.map((s) => (onlyWhenIdle ? { ...s, onlyWhenIdle } : s)),
    ...changes.mangle.removals,
  ];
}

/** Whether the acceptance of our flows in the forward hook is in place, so that flows may live on it. */
function keepsFlows(filter: ObservedTable): boolean {
  return filter.chains.has(CHAINS.forward) && filter.hooks.some((h) => h.chain === 'FORWARD');
}

/**
 * The additions to mangle, which come before those to nat. Where a forward's allow-list and its way change together, the old way must
 * not see sources of the new list: until nat has changed, only those stand that both lists name.
 */
function holdOpenings(changes: Record<TableName, Changes>): RulesStep[] {
  const rerouted = new Set([...changes.nat.adds, ...changes.nat.removals].flatMap((s) => s.forwards));
  const late: RulesStep[] = [];
  const early = changes.mangle.adds.map((step): RulesStep => {
    const [key] = step.forwards;
    if (step.replaces === undefined || key === undefined || !rerouted.has(key)) return strip(step);
    const old = new Set(step.replaces);
    const narrowed = step.lines.filter((line) => !line.includes(':allow"') || old.has(ruleOfLine(line)));
    if (narrowed.length === step.lines.length) return strip(step);
    late.push(strip(step));
    return { ...strip(step), lines: narrowed, title: `${step.title}, first only what was allowed before` };
  });
  changes.mangle.removals.unshift(...late);
  return early;
}

const strip = ({ replaces: _, ...step }: ChainStep): RulesStep => step;
const ruleOfLine = (line: string) => line.replace(/^-A \S+ /, '');

/** A step that writes a whole chain, with the rules that it had. */
type ChainStep = RulesStep & { readonly replaces?: readonly string[] };

interface Changes {
  readonly adds: ChainStep[];
  readonly removals: RulesStep[];
}

const ORDER: Readonly<Record<ChainKind, number>> = { own: 0, part: 1, whole: 2 };

function diffTable(table: TableName, wanted: RenderedTable, observed: ObservedTable): Changes {
  const adds: ChainStep[] = [];
  const removals: RulesStep[] = [];
  const step = (title: string, lines: readonly string[], forwards: readonly string[]): RulesStep => ({
    kind: 'rules',
    table,
    title: `${table}: ${title}`,
    lines,
    forwards: [...new Set(forwards)],
  });
  // What is led to comes before what leads to it.
  const chains = [...wanted.chains].sort(([, a], [, b]) => ORDER[a.kind] - ORDER[b.kind]);
  for (const [name, chain] of chains) {
    const present = observed.chains.get(name);
    const change = present && chain.kind !== 'own' ? diffShared(name, chain, present) : undefined;
    if (change && !change.rewrite) {
      if (change.added.length > 0)
        adds.push(
          step(
            `add ${count(change.added)} to ${name}`,
            change.added.map((r) => r.line),
            change.added.flatMap(keysOf),
          ),
        );
      if (change.removed.length > 0)
        removals.push(
          step(
            `remove ${count(change.removed)} from ${name}`,
            change.removed.map((r) => `-D ${name} ${r}`),
            change.removed.flatMap(keysOf),
          ),
        );
      continue;
    }
    if (present && !change && sameRules(chain, present)) continue;
    const lines = [`:${name} - [0:0]`, ...ordered(chain.rules).map((r) => `-A ${name} ${r.text}`)];
    const keys = chain.rules.flatMap((r) => (r.key === undefined ? [] : [r.key]));
    adds.push({
      ...step(`${present ? 'rewrite' : 'add'} ${name} (${count(chain.rules)})`, lines, keys),
      ...(present ? { replaces: present } : {}),
    });
  }
  const hooks = diffHooks(wanted, observed);
  if (hooks.added.length > 0) adds.push(step(`lead to our chains from ${hooks.places}`, hooks.added, []));
  if (hooks.removed.length > 0) removals.push(step('remove jumps to our chains', hooks.removed, []));
  const stale = [...observed.chains.keys()].filter((name) => !wanted.chains.has(name));
  if (stale.length > 0)
    removals.push(
      step(
        `remove ${names(stale)}`,
        // All are emptied first: one may lead to another.
        [...stale.map((n) => `-F ${n}`), ...stale.map((n) => `-X ${n}`)],
        stale.flatMap((n) => keyOfChain(n) ?? []),
      ),
    );
  return { adds, removals };
}

/** At most three by name: a title is one line. */
const names = (chains: readonly string[]) =>
  chains.length <= 3 ? chains.join(', ') : `${chains.slice(0, 3).join(', ')} and ${chains.length - 3} more`;
const count = (rules: readonly unknown[]) => `${rules.length} ${rules.length === 1 ? 'rule' : 'rules'}`;
const keysOf = (rule: string | { readonly line: string }) => keyOfRule(typeof rule === 'string' ? rule : rule.line) ?? [];
const ordered = (rules: readonly Rule[]) => [...rules.filter((r) => r.first), ...rules.filter((r) => !r.first)];

function sameRules(chain: RenderedChain, present: readonly string[]): boolean {
  return chain.rules.length === present.length && ordered(chain.rules).every((r, i) => r.text === present[i]);
}

/** From here on writing a shared chain anew is quicker than deleting rule by rule (measured with 1,000 rules). */
const MOST_DELETIONS = 32;

interface SharedChange {
  readonly added: readonly { readonly line: string }[];
  readonly removed: readonly string[];
  readonly rewrite: boolean;
}

/** Rules of a shared chain as a set: additions at the end, or at the beginning for those that must stand first. */
function diffShared(name: string, chain: RenderedChain, present: readonly string[]): SharedChange | undefined {
  const wanted = new Map(chain.rules.map((r) => [r.text, r]));
  const found = new Set<string>();
  const removed: string[] = [];
  let pastFirst = false;
  let misplaced = false;
  for (const text of present) {
    const rule = wanted.get(text);
    if (!rule || found.has(text)) removed.push(text);
    else found.add(text);
    if (rule?.first && pastFirst) misplaced = true;
    if (!rule?.first) pastFirst = true;
  }
  const missing = chain.rules.filter((r) => !found.has(r.text));
  if (missing.length + removed.length === 0 && !misplaced) return { added: [], removed: [], rewrite: false };
  // Deleting by text takes the first of equal rules, and each deletion costs iptables a look at the whole chain.
  const ambiguous = new Set(removed).size < removed.length || removed.some((r) => found.has(r));
  const rewrite = misplaced || ambiguous || removed.length > MOST_DELETIONS;
  const added = missing.map((r) => ({ line: r.first ? `-I ${name} 1 ${r.text}` : `-A ${name} ${r.text}` }));
  return { added, removed, rewrite };
}

/** Exactly one jump for each place, before any foreign rule that could take the traffic. */
function diffHooks(wanted: RenderedTable, observed: ObservedTable) {
  const added: string[] = [];
  const removed: string[] = [];
  const places: string[] = [];
  const kept = new Set<unknown>();
  for (const hook of wanted.hooks) {
    const same = observed.hooks.filter((h) => h.chain === hook.chain && h.rule === hook.rule);
    const [only] = same;
    if (only && same.length === 1 && only.shadowedBy === undefined) {
      kept.add(only);
      continue;
    }
    // In one transaction, so that traffic never misses it.
    added.push(...same.map(() => `-D ${hook.chain} ${hook.rule}`), `-I ${hook.chain} 1 ${hook.rule}`);
    places.push(hook.chain);
    for (const h of same) kept.add(h);
  }
  for (const h of observed.hooks) if (!kept.has(h)) removed.push(`-D ${h.chain} ${h.rule}`);
  return { added, removed, places: places.join(', ') };
}
