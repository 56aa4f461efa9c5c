import type { Family } from '@gwctl/shared/domain/ip';
import type { DriftCauseWord } from '@gwctl/shared/domain/status';
import { type FilterHook, type HookFilters, iptablesForward, VARIANTS } from '../../filters/filters.js';
import type { DriftFound } from '../driver.js';
import { FORWARDING_KEYS } from '../host-conditions.js';
import { CLOSED_CHAIN } from './chains.js';
import { compare, type SetChange } from './compare.js';
import { wantsClosed } from './diff.js';
import { type Observed, type ObservedTable, objectName } from './observe.js';
import { isEmpty, needsTable, partsOf, type Rendered, sharedId, sharersOf } from './render.js';
import { FAMILIES, POOL_CHAINS } from './sets.js';

/** What differs from what was last applied, one entry for each object and cause. */
export function drift(applied: Rendered, observed: Observed): DriftFound[] {
  const report = new Report(applied, observed.at);
  const { changes } = compare(applied, observed);
  for (const family of FAMILIES) {
    const table = observed.tables[family];
    const own = changes.filter((c) => c.set.family === family);
    if (!needsTable(applied, family)) {
      // After the last forward the table stays for as long as flows live on it.
      for (const { set, removed } of own)
        if (removed.size > 0)
          report.add('foreign', objectName(family, set.name), list('needed by no forward', [...removed.keys()]), []);
      continue;
    }
    if (!table) report.add('missing', objectName(family, ''), 'the table is gone', []);
    else compareTable(family, own, table, observed, report);
    if (applied.listening[family] > 0) companions(family, 'INPUT', observed.filters.input, report);
    if (isEmpty(applied, family)) continue;
    companions(family, 'FORWARD', observed.filters, report);
    const state = family === 4 ? observed.forwarding : observed.forwarding6;
    const key = FORWARDING_KEYS[family];
    if (state?.on === false) report.add('sysctl', `sysctl/${key}`, 'is 0, so the gateway forwards nothing; it was 1', []);
  }
  return report.found;
}

class Report {
  readonly found: DriftFound[] = [];
  readonly applied: Rendered;
  readonly #at: number;

  constructor(applied: Rendered, at: number) {
    this.applied = applied;
    this.#at = at;
  }

  /** `uids` name the forwards concerned; none: all of them share the object. */
  add(cause: DriftCauseWord, object: string, message: string, uids: readonly string[]): void {
    this.found.push({ forwards: [...new Set(uids)], drift: { cause, object, message, detected: this.#at } });
  }
}

function compareTable(
  family: Family,
  changes: readonly SetChange[],
  table: ObservedTable,
  observed: Observed,
  report: Report,
): void {
  for (const { cause, object, message } of table.defects) report.add(cause, object, message, []);
  if (table.unreadable) return;
  const lost = new Set(table.defects.filter((d) => d.cause === 'missing').map((d) => d.object));
  for (const change of changes) compareSet(change, lost.has(objectName(family, change.set.name)), report);
  // What others forward is nobody's business where the table is there for what the relay listens on.
  if (isEmpty(report.applied, family)) return;
  const closed = objectName(family, CLOSED_CHAIN);
  const wanted = wantsClosed(observed, family);
  const on = family === 4 ? observed.forwarding.on : observed.forwarding6?.on !== false;
  if (wanted && !table.closed && on)
    report.add('missing', closed, "the rule that keeps others' traffic from being forwarded is gone", []);
  else if (!wanted && table.closed) report.add('foreign', closed, "a rule keeps others' traffic from being forwarded", []);
}

function compareSet({ set, removed, added }: SetChange, lost: boolean, report: Report): void {
  const object = objectName(set.family, set.name);
  const pools = set === POOL_CHAINS[set.family];
  const altered = [...removed].filter(([key]) => added.has(key));
  const missing = [...added.keys()].filter((key) => !removed.has(key));
  const foreign = [...removed].filter(([key]) => !added.has(key));
  const text = ([key, suffix]: readonly [string, string]) => (pools ? key : `${key}${suffix}`);
  const uids = (keys: readonly string[]) => owners(set.name, set.family, keys, report.applied);
  if (altered.length > 0)
    report.add('altered', object, list('changed', altered.map(text), pools), uids(altered.map(([key]) => key)));
  // That the set itself is gone is said already; here only whose elements went with it.
  if (missing.length > 0) report.add('missing', object, list(lost ? 'gone with the set' : 'gone', missing, pools), uids(missing));
  if (foreign.length > 0) report.add('foreign', object, list('not ours', foreign.map(text), pools), []);
}

/** The forwards that need these elements. Asked only when something is wrong, so it walks through all. */
function owners(set: string, family: Family, keys: readonly string[], applied: Rendered): string[] {
  const asked = new Set(keys);
  const uids: string[] = [];
  for (const part of partsOf(applied, family)) {
    const has = (element: { set: { name: string }; key: string }) => element.set.name === set && asked.has(element.key);
    if (part.uid === '') continue;
    if (part.elements.some(has)) uids.push(part.uid);
    for (const element of part.shared.filter(has)) uids.push(...sharersOf(applied, sharedId(element)).map((s) => s.uid));
  }
  return uids;
}

function list(what: string, elements: readonly string[], chains = false): string {
  const [one, many] = chains ? ['chain is', 'chains are'] : ['element is', 'elements are'];
  const more = elements.length > 3 ? ` (and ${elements.length - 3} more)` : '';
  return `${elements.length} ${elements.length === 1 ? one : many} ${what}: ${elements.slice(0, 3).join(', ')}${more}`;
}

function companions(family: Family, hook: FilterHook, filters: HookFilters, report: Report): void {
  for (const variant of VARIANTS) {
    const filter = iptablesForward(filters, family, variant);
    if (filter?.drops === undefined) continue;
    const object = `${family === 4 ? 'iptables' : 'ip6tables'}-${variant} filter/${hook}`;
    if (filter.companions === 0)
      report.add('missing', object, `our rule is not there, and the chain drops by ${filter.drops}`, []);
    else if (filter.before !== undefined)
      report.add('shadowed', object, `a rule before ours takes the traffic: ${filter.before}`, []);
    else if (filter.companions > 1) report.add('foreign', object, `our rule is there ${filter.companions} times`, []);
  }
}
