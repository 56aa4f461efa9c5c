import type { Family } from '@gwctl/shared/domain/ip';
import { anew, diffShared } from './chain-diff.js';
import { CHAINS, keyOfChain, keyOfRule, type TableName } from './layout.js';
import { type ObservedChain, type ObservedTable, sameRules } from './observe.js';
import type { RenderedChain, RenderedTable } from './render.js';
import { SNAT_TREE } from './rules.js';
import { SOURCE_SNAT_TREE } from './source-rules.js';
import type { RulesStep } from './steps.js';

/** A step that writes a whole chain anew, with the rules that it had. */
export type WritingStep = RulesStep & { readonly replaces?: readonly string[] };

export interface TableChanges {
  readonly adds: WritingStep[];
  readonly removals: RulesStep[];
  /** Of nat, removals from what stands behind the routing decision. */
  readonly exits: RulesStep[];
}

export function diffTable(of: {
  readonly family: Family;
  readonly table: TableName;
  readonly wanted: RenderedTable;
  readonly observed: ObservedTable;
}): TableChanges {
  const { family, table, wanted, observed } = of;
  const changes = new Changes(family, table);
  const fresh: [string, RenderedChain][] = [];
  const stale: [string, ObservedChain][] = [];
  for (const [name, want, there] of wanted.chains.changes(observed.chains)) {
    if (!want) stale.push([name, there ?? { rules: [] }]);
    else if (!there) fresh.push([name, want]);
    else if (!sameRules(want.rules, there.rules)) changes.chain(name, want, there.rules);
  }
  changes.fresh(fresh);
  changes.hooks(wanted, observed);
  changes.stale(stale);
  return changes;
}

class Changes implements TableChanges {
  adds: WritingStep[] = [];
  readonly removals: RulesStep[] = [];
  readonly exits: RulesStep[] = [];
  readonly #family: Family;
  readonly #table: TableName;

  constructor(family: Family, table: TableName) {
    this.#family = family;
    this.#table = table;
  }

  chain(name: string, { kind, rules }: RenderedChain, present: readonly string[]): void {
    if (kind === 'own') {
      const [now, then] = [new Set(rules), new Set(present)];
      const different = [...rules.filter((r) => !then.has(r)), ...present.filter((r) => !now.has(r))];
      const step = this.#step(`rewrite ${name} (${count(rules)})`, anew(name, rules), keysOf(different));
      if (this.#isExit(name) && rules.every((r) => then.has(r))) this.exits.push({ ...step, exit: true });
      else this.adds.push({ ...step, replaces: present });
      return;
    }
    const { edits, edited, removals, removed } = diffShared(name, rules, present);
    if (edits.length > 0) this.adds.push(this.#step(`change ${named(edited)} in ${name}`, edits, keys(edited)));
    if (removals.length > 0) this.#remove(name, this.#step(`remove ${named(removed)} from ${name}`, removals, keys(removed)));
  }

  /** All are made before any is filled: one may lead to another. */
  fresh(chains: readonly (readonly [string, RenderedChain])[]): void {
    if (chains.length === 0) return;
    const made = this.#step(
      `make ${some(chains.map(([name]) => name))}`,
      chains.map(([name]) => `:${name} - [0:0]`),
      [],
    );
    const filled = chains.map(([name, { rules }]) =>
      this.#step(
        `fill ${name} (${count(rules)})`,
        rules.map((r) => `-A ${name} ${r}`),
        keysOf(rules),
      ),
    );
    this.adds = [made, ...filled, ...this.adds];
  }

  /** Exactly one jump for each place, before any foreign rule that could take the traffic. */
  hooks(wanted: RenderedTable, observed: ObservedTable): void {
    const added: string[] = [];
    const places: string[] = [];
    const kept = new Set<unknown>();
    for (const hook of wanted.hooks) {
      const same = observed.hooks.filter((h) => h.chain === hook.chain && h.rule === hook.rule);
      for (const h of same) kept.add(h);
      if (same.length === 1 && same[0]?.shadowedBy === undefined) continue;
      // In one transaction, so that traffic never misses it.
      added.push(...same.map(() => `-D ${hook.chain} ${hook.rule}`), `-I ${hook.chain} 1 ${hook.rule}`);
      places.push(hook.chain);
    }
    if (added.length > 0) this.adds.push(this.#step(`lead to our chains from ${[...new Set(places)].join(', ')}`, added, []));
    const removed = Map.groupBy(
      observed.hooks.filter((h) => !kept.has(h)),
      (h) => this.#isExit(h.chain),
    );
    for (const jumps of removed.values()) {
      const lines = jumps.map((h) => `-D ${h.chain} ${h.rule}`);
      this.#remove(jumps[0]?.chain ?? '', this.#step('remove jumps to our chains', lines, []));
    }
  }

  /** All are emptied before any goes: one may lead to another. */
  stale(chains: readonly (readonly [string, ObservedChain])[]): void {
    for (const together of Map.groupBy(chains, ([name]) => this.#isExit(name)).values()) {
      const names = together.map(([name]) => name);
      const lines = [...names.map((n) => `-F ${n}`), ...names.map((n) => `-X ${n}`)];
      const concerned = new Set(together.flatMap(([name, { rules }]) => [...keysOf(rules), keyOfChain(name) ?? []].flat()));
      this.#remove(names[0] ?? '', this.#step(`remove ${some(names)}`, lines, [...concerned]));
    }
  }

  #remove(chain: string, step: RulesStep): void {
    if (this.#isExit(chain)) this.exits.push({ ...step, exit: true });
    else this.removals.push(step);
  }

  #isExit(chain: string): boolean {
    return this.#table === 'nat' && EXIT.test(chain);
  }

  #step(title: string, lines: readonly string[], forwards: readonly string[]): RulesStep {
    const [family, table] = [this.#family, this.#table];
    return { kind: 'rules', family, table, title: `${family === 6 ? 'ip6 ' : ''}${table}: ${title}`, lines, forwards };
  }
}

/** Chains of nat that a packet comes through on its way out; none leads to one of the others, nor is led to by one. */
const EXIT = new RegExp(
  `^(?:POSTROUTING|${CHAINS.post}|${CHAINS.snat}|${CHAINS.sourceSnat}|(?:GWCTL-E-|${SNAT_TREE.prefix}|${SOURCE_SNAT_TREE.prefix}).*)$`,
);

const isKey = (id: string): boolean => /^[0-9a-f]{8}$/.test(id);
const keys = (ids: readonly string[]): string[] => ids.filter(isKey);
const keysOf = (rules: readonly string[]): string[] => [...new Set(rules.flatMap((r) => keyOfRule(r) ?? []))];
const count = (rules: readonly unknown[]): string => `${rules.length} ${rules.length === 1 ? 'rule' : 'rules'}`;
const named = (ids: readonly string[]): string => some(ids.map((id) => (isKey(id) ? id : 'a rule')));

/** At most three by name: a title is one line. */
const some = (names: readonly string[]): string =>
  names.length <= 3 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;
