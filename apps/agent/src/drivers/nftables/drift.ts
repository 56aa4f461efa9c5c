import type { DriftCauseWord } from '@gwctl/shared/domain/status';
import type { DriftFound } from '../driver.js';
import { wantsClosed } from './diff.js';
import { VARIANTS } from './filters.js';
import { CLOSED_CHAIN, SETS, type SetName, TABLE } from './layout.js';
import { elementsOf, isOwnSet, type Observed, type ObservedTable } from './observe.js';
import { isEmpty, type Rendered } from './render.js';

/** What differs from what was last applied, one entry for each object and cause. */
export function drift(applied: Rendered, observed: Observed): DriftFound[] {
  const report = new Report(applied, observed.at);
  const { table } = observed;
  if (isEmpty(applied)) {
    // After the last forward the table stays for as long as flows live on it.
    if (table) leftovers(table, report);
    return report.found;
  }
  if (!table) report.add('missing', TABLE, 'the table is gone', []);
  else compareTable(applied, table, observed, report);
  companions(observed, report);
  if (!observed.forwarding.on)
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
  add(cause: DriftCauseWord, object: string, message: string, keys: Iterable<string>): void {
    const uids = [...keys].flatMap((k) => this.#applied.forwards.get(k)?.uid ?? []);
    this.found.push({ forwards: [...new Set(uids)], drift: { cause, object, message, detected: this.#at } });
  }
}

function compareTable(applied: Rendered, table: ObservedTable, observed: Observed, report: Report): void {
  for (const { cause, object, message } of table.defects) report.add(cause, object, message, []);
  if (table.unreadable) return;
  const lost = new Set(table.defects.filter((d) => d.cause === 'missing').map((d) => d.object));
  for (const { name } of SETS) compareSet(name, applied, table, lost.has(`${TABLE}/${name}`), report);
  if (wantsClosed(observed) && !table.closed && observed.forwarding.on)
    report.add('missing', `${TABLE}/${CLOSED_CHAIN}`, "the rule that keeps others' traffic from being forwarded is gone", []);
  else if (!wantsClosed(observed) && table.closed)
    report.add('foreign', `${TABLE}/${CLOSED_CHAIN}`, "a rule keeps others' traffic from being forwarded", []);
}

function compareSet(set: SetName, applied: Rendered, table: ObservedTable, lost: boolean, report: Report): void {
  const wanted = applied.sets.get(set) ?? new Map();
  const present = elementsOf(table, set);
  const [missing, altered]: [string[], string[]] = [[], []];
  const keys = { missing: new Set<string>(), altered: new Set<string>() };
  for (const [key, { suffix, forwards }] of wanted) {
    const found = present.get(key);
    if (found === suffix) continue;
    const cause = found === undefined ? 'missing' : 'altered';
    (cause === 'missing' ? missing : altered).push(found === undefined ? key : `${key}${found}`);
    for (const forward of forwards) keys[cause].add(forward);
  }
  // Ways of removed forwards stay while flows live on them.
  const foreign = isOwnSet(set) ? [] : [...present].filter(([key]) => !wanted.has(key)).map(([key, s]) => `${key}${s}`);
  const object = `${TABLE}/${set}`;
  if (altered.length > 0) report.add('altered', object, list('changed', altered), keys.altered);
  // That the set itself is gone is said already; here only whose elements went with it.
  if (missing.length > 0) report.add('missing', object, list(lost ? 'gone with the set' : 'gone', missing), keys.missing);
  if (foreign.length > 0) report.add('foreign', object, list('not ours', foreign), []);
}

function list(what: string, elements: readonly string[]): string {
  const more = elements.length > 3 ? ` (and ${elements.length - 3} more)` : '';
  return `${elements.length} ${elements.length === 1 ? 'element is' : 'elements are'} ${what}: ${elements.slice(0, 3).join(', ')}${more}`;
}

function companions({ filters }: Observed, report: Report): void {
  for (const variant of VARIANTS) {
    const filter = filters[variant];
    if (filter?.drops === undefined) continue;
    const object = `iptables-${variant} filter/FORWARD`;
    if (filter.companions === 0)
      report.add('missing', object, `our rule is not there, and the chain drops by ${filter.drops}`, []);
    else if (filter.before !== undefined)
      report.add('shadowed', object, `a rule before ours takes the traffic: ${filter.before}`, []);
    else if (filter.companions > 1) report.add('foreign', object, `our rule is there ${filter.companions} times`, []);
  }
}

function leftovers(table: ObservedTable, report: Report): void {
  for (const { name } of SETS) {
    const elements = [...elementsOf(table, name).keys()];
    if (elements.length > 0 && !isOwnSet(name))
      report.add('foreign', `${TABLE}/${name}`, list('needed by no forward', elements), []);
  }
}
