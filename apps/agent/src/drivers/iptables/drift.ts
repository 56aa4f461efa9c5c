import type { DriftCauseWord } from '@gwctl/shared/domain/status';
import type { DriftFound } from '../driver.js';
import { FORWARDING_KEYS } from '../host-conditions.js';
import { wantedOf } from './diff.js';
import { CHAINS, keyOfChain, keyOfRule, TABLES, type TableName } from './layout.js';
import { type FamilyObserved, type Observed, type ObservedTable, sameRules } from './observe.js';
import { type FamilyRendered, isEmpty, type Rendered, type RenderedChain, type RenderedTable } from './render.js';

/** What differs from what was last applied, one entry for each object and cause. */
export function drift(applied: Rendered, observed: Observed): DriftFound[] {
  return observed.families.flatMap((family) => driftOf(applied.families[family.family], family, observed.at));
}

function driftOf(applied: FamilyRendered, observed: FamilyObserved, at: number): DriftFound[] {
  const { family, forwarding } = observed;
  const wanted = forwarding.ours ? wantedOf(applied, observed) : applied;
  const leaving = isEmpty(applied);
  const report = new Report(applied, at);
  for (const table of TABLES) {
    // After the last forward the acceptance stays for as long as flows live on it.
    const there = leaving && table === 'filter' ? withoutAcceptance(observed.tables.filter) : observed.tables[table];
    if (leaving && applied.relayed.size === 0) leftovers(table, there, report);
    else if (leaving) compareTable(table, wanted.tables[table], there, report);
    else compareTable(table, wanted.tables[table], observed.tables[table], report);
  }
  if (!leaving && !forwarding.on)
    report.add('sysctl', `sysctl/${FORWARDING_KEYS[family]}`, 'is 0, so the gateway forwards nothing; it was 1', []);
  return report.found;
}

class Report {
  readonly found: DriftFound[] = [];
  readonly #applied: FamilyRendered;
  readonly #at: number;

  constructor(applied: FamilyRendered, at: number) {
    this.#applied = applied;
    this.#at = at;
  }

  /** `keys` name the forwards concerned; none: all of them share the object. */
  add(cause: DriftCauseWord, place: string, message: string, keys: readonly (string | undefined)[]): void {
    const { forwards, egresses, relayed, family } = this.#applied;
    const uids = keys.flatMap((k) =>
      k === undefined ? [] : ((forwards.get(k) ?? egresses.get(k) ?? relayed.get(k))?.uid ?? []),
    );
    const object = family === 6 ? place.replace(/^(?!sysctl)/, 'ip6 ') : place;
    this.found.push({ forwards: [...new Set(uids)], drift: { cause, object, message, detected: this.#at } });
  }
}

function compareTable(table: TableName, wanted: RenderedTable, observed: ObservedTable, report: Report): void {
  for (const hook of wanted.hooks) {
    const same = observed.hooks.filter((h) => h.chain === hook.chain && h.rule === hook.rule);
    const object = `${table}/${hook.chain}`;
    const shadow = same[0]?.shadowedBy;
    if (same.length === 0) report.add('missing', object, `the jump to our chains is gone: ${hook.rule}`, []);
    else if (shadow !== undefined) report.add('shadowed', object, `a rule before our jump takes the traffic: ${shadow}`, []);
    else if (same.length > 1) report.add('foreign', object, `the jump to our chains is there ${same.length} times`, []);
  }
  for (const hook of observed.hooks)
    if (!wanted.hooks.some((h) => h.chain === hook.chain && h.rule === hook.rule))
      report.add('foreign', `${table}/${hook.chain}`, `a jump to our chains that is not ours: ${hook.rule}`, []);
  for (const [name, want, there] of wanted.chains.changes(observed.chains)) {
    const object = `${table}/${name}`;
    if (!want) report.add('foreign', object, 'a chain that was not applied', [keyOfChain(name)]);
    else if (!there) report.add('missing', object, 'the chain is gone', keysOf(want.rules, wanted));
    else if (!sameRules(want.rules, there.rules))
      compareChain({ object, name, want, present: there.rules, table: wanted }, report);
  }
}

/** The forwards that rules are for: of a jump to a part, all that have rules there. */
function keysOf(rules: readonly string[], table: RenderedTable): string[] {
  return rules.flatMap((rule) => {
    const key = keyOfRule(rule);
    if (key !== undefined) return [key];
    const part = / -[jg] (GWCTL-\S+)$/.exec(rule)?.[1];
    return part === undefined ? [] : keysOf(table.chains.get(part)?.rules ?? [], table);
  });
}

interface Compared {
  readonly object: string;
  readonly name: string;
  readonly want: RenderedChain;
  readonly present: readonly string[];
  readonly table: RenderedTable;
}

function compareChain({ object, name, want, present, table }: Compared, report: Report): void {
  const wanted = new Set(want.rules);
  const there = new Set(present);
  const missing = want.rules.filter((r) => !there.has(r));
  const seen = new Set<string>();
  const extra = present.filter((text) => !wanted.has(text) || seen.size === seen.add(text).size);
  // A missing rule with a changed one in its place: the comment says that they are the same.
  const altered = missing.filter((r) => extra.some((text) => sameRole(text, r)));
  const gone = missing.filter((r) => !altered.includes(r));
  const foreign = extra.filter((text) => !altered.some((r) => sameRole(text, r)));
  if (altered.length > 0) report.add('altered', object, list('changed', altered), keysOf(altered, table));
  if (gone.length > 0) report.add('missing', object, list('gone', gone), keysOf(gone, table));
  if (foreign.length > 0)
    report.add(
      'foreign',
      object,
      list('not ours', foreign),
      foreign.map((text) => keyOfRule(text) ?? keyOfChain(name)),
    );
  if (missing.length === 0 && extra.length === 0 && disordered(want, present))
    report.add('altered', object, 'the rules are in another order', keysOf(want.rules, table));
}

const roleOf = (rule: string) => /--comment "(gwctl:[^"]+)"/.exec(rule)?.[1];
const sameRole = (a: string, b: string) => roleOf(a) !== undefined && roleOf(a) === roleOf(b);

/** In a shared chain only the order of each forward's own rules means something. */
function disordered({ kind, rules }: RenderedChain, present: readonly string[]): boolean {
  if (kind === 'own') return rules.some((r, i) => r !== present[i]);
  const keys = new Set(rules.flatMap((r) => keyOfRule(r) ?? []));
  const of = (all: readonly string[], key: string) => all.filter((r) => keyOfRule(r) === key);
  return [...keys].some((key) => !sameRules(of(rules, key), of(present, key)));
}

function list(what: string, rules: readonly string[]): string {
  const more = rules.length > 3 ? ` (and ${rules.length - 3} more)` : '';
  return `${rules.length} ${rules.length === 1 ? 'rule is' : 'rules are'} ${what}: ${rules.slice(0, 3).join(' | ')}${more}`;
}

function leftovers(table: TableName, observed: ObservedTable, report: Report): void {
  for (const name of observed.chains.keys())
    report.add('foreign', `${table}/${name}`, 'a chain of ours that no forward needs', []);
  for (const hook of observed.hooks)
    report.add('foreign', `${table}/${hook.chain}`, `a jump that no forward needs: ${hook.rule}`, []);
}

const ACCEPTANCE: ReadonlySet<string> = new Set([CHAINS.forward, CHAINS.ours, CHAINS.count, CHAINS.countEgress]);

function withoutAcceptance(filter: ObservedTable): ObservedTable {
  const kept = [...filter.chains.keys()].filter((name) => ACCEPTANCE.has(name) || name.startsWith('GWCTL-C-'));
  return {
    chains: filter.chains.with(kept.map((name) => [name, undefined])),
    hooks: filter.hooks.filter((h) => h.chain !== 'FORWARD'),
  };
}
