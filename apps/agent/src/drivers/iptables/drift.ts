import type { DriftCauseWord } from '@gwctl/shared/domain/status';
import type { DriftFound } from '../driver.js';
import { CHAINS, keyOfChain, keyOfRule, TABLES, type TableName } from './layout.js';
import type { Observed, ObservedTable } from './observe.js';
import { closed, isEmpty, type Rendered, type RenderedChain, type RenderedTable, type Rule } from './render.js';

/** What differs from what was last applied, one entry for each object and cause. */
export function drift(applied: Rendered, observed: Observed): DriftFound[] {
  const { forwarding } = observed;
  const wanted = forwarding.ours ? closed(applied) : applied;
  const leaving = isEmpty(applied);
  const report = new Report(applied, observed.at);
  for (const table of TABLES) {
    // After the last forward the acceptance stays for as long as flows live on it.
    if (leaving && table === 'filter') leftovers(table, withoutAcceptance(observed.tables.filter), report);
    else if (leaving) leftovers(table, observed.tables[table], report);
    else compareTable(table, wanted.tables[table], observed.tables[table], report);
  }
  if (!leaving && !forwarding.on)
    report.add('sysctl', 'sysctl/net.ipv4.ip_forward', 'is 0, so the gateway forwards nothing; it was 1', []);
  return report.found;
}

class Report {
  readonly found: DriftFound[] = [];
  readonly #applied: Rendered;
  readonly #at: number;

  constructor(applied: Rendered, at: number) {
    this.#applied = applied;
    this.#at = at;
  }

  /** `keys` name the forwards concerned; none: all of them share the object. */
  add(cause: DriftCauseWord, object: string, message: string, keys: readonly (string | undefined)[]): void {
    const uids = keys.flatMap((k) => (k === undefined ? [] : (this.#applied.forwards.get(k)?.uid ?? [])));
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
  for (const [name, chain] of wanted.chains) {
    const present = observed.chains.get(name);
    const object = `${table}/${name}`;
    const keys = (rules: readonly Rule[]) => rules.flatMap((r) => keysOf(r, wanted));
    if (!present) report.add('missing', object, 'the chain is gone', keys(chain.rules));
    else compareChain({ object, name, chain, present, keys }, report);
  }
  for (const name of observed.chains.keys())
    if (!wanted.chains.has(name)) report.add('foreign', `${table}/${name}`, 'a chain that was not applied', [keyOfChain(name)]);
}

/** The forwards that a rule is for: of a jump to a part, all that have rules there; of what guards all, none. */
function keysOf(rule: Rule, table: RenderedTable): string[] {
  if (rule.key !== undefined) return [rule.key];
  const part = / -j (\S+)$/.exec(rule.text)?.[1];
  return (part === undefined ? [] : (table.chains.get(part)?.rules ?? [])).flatMap((r) => r.key ?? []);
}

interface Compared {
  readonly object: string;
  readonly name: string;
  readonly chain: RenderedChain;
  readonly present: readonly string[];
  readonly keys: (rules: readonly Rule[]) => readonly string[];
}

function compareChain({ object, name, chain, present, keys }: Compared, report: Report): void {
  const wanted = new Set(chain.rules.map((r) => r.text));
  const there = new Set(present);
  const missing = chain.rules.filter((r) => !there.has(r.text));
  const seen = new Set<string>();
  const extra = present.filter((text) => !wanted.has(text) || seen.size === seen.add(text).size);
  // A missing rule with a changed one in its place: the comment says that they are the same.
  const altered = missing.filter((r) => extra.some((text) => sameRole(text, r.text)));
  const gone = missing.filter((r) => !altered.includes(r));
  const foreign = extra.filter((text) => !altered.some((r) => sameRole(text, r.text)));
  if (altered.length > 0)
    report.add(
      'altered',
      object,
      list(
        'changed',
        altered.map((r) => r.text),
      ),
      keys(altered),
    );
  if (gone.length > 0)
    report.add(
      'missing',
      object,
      list(
        'gone',
        gone.map((r) => r.text),
      ),
      keys(gone),
    );
  if (foreign.length > 0)
    report.add(
      'foreign',
      object,
      list('not ours', foreign),
      foreign.map((text) => keyOfRule(text) ?? keyOfChain(name)),
    );
  if (missing.length === 0 && extra.length === 0 && disordered(chain, present))
    report.add('altered', object, 'the rules are in another order', keys(chain.rules));
}

const roleOf = (rule: string) => /--comment "(gwctl:[^"]+)"/.exec(rule)?.[1];
const sameRole = (a: string, b: string) => roleOf(a) !== undefined && roleOf(a) === roleOf(b);

function disordered(chain: RenderedChain, present: readonly string[]): boolean {
  if (chain.kind === 'own') return chain.rules.some((r, i) => r.text !== present[i]);
  const first = new Set(chain.rules.filter((r) => r.first).map((r) => r.text));
  return present.slice(0, first.size).some((text) => !first.has(text));
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

function withoutAcceptance(filter: ObservedTable): ObservedTable {
  return {
    chains: new Map([...filter.chains].filter(([name]) => name !== CHAINS.forward)),
    hooks: filter.hooks.filter((h) => h.chain !== 'FORWARD'),
  };
}
