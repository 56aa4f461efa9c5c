import type { Family } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import { isPool } from './chains.js';
import type { Count } from './counters.js';
import { type LayoutOptions, layoutLines, SCRATCH, TABLE } from './layout.js';
import { type Expected, type ListedRule, type Listing, NOTHING_EXPECTED, Patching } from './listing.js';
import type { Abilities, NftTable, Reading } from './nft.js';
import type { Reference } from './observe.js';
import { findSet, POOL_CHAINS, type SetSpec, WORDS } from './sets.js';

interface Table {
  flags: boolean;
  chains: Map<string, { hook?: string; rules: ListedRule[] }>;
  sets: Map<string, { declaration: string; elements: Map<string, string> }>;
  others: string[];
}

/**
 * nft in memory, with the kernel's semantics as far as they matter here: a transaction happens as a whole or not at all, what is named
 * must exist, an element that is there takes no other value, one that is not there cannot be deleted, and no chain can go that an
 * element or a rule points to, or did before the transaction (as before Linux 6.2).
 */
export class FakeNft implements NftTable {
  /** Every transaction of the driver that was carried out. */
  readonly committed: (readonly string[])[] = [];
  /** How often the tables were listed. */
  reads = 0;
  /** Whether the count of changes is known. */
  counting = true;
  abilities: Abilities = { ftp: true, ipv6: true, troubles: [] };
  readonly counts = new Map<SetSpec, Count[]>();
  #tables = new Map<string, Table>();
  #generation = 1;
  #failure: Error | undefined;

  /** The next transaction fails with `error`. */
  failOnce(error: Error): void {
    this.#failure = error;
  }

  /** What somebody else does. */
  meddle(...lines: string[]): void {
    this.#commit(lines);
  }

  /** The name of every table; those of IPv4 without the family. */
  tables(): string[] {
    return [...this.#tables.keys()].map((name) => name.replace(/^ip /, ''));
  }

  elements(set: string, family: Family = 4): string[] {
    const table = this.#tables.get(`${WORDS[family].ip} ${TABLE}`);
    return [...(table?.sets.get(set)?.elements ?? [])].map(([key, suffix]) => key + suffix);
  }

  /** Rules by chain. */
  pools(family: Family = 4): Record<string, string[]> {
    const chains = this.#tables.get(`${WORDS[family].ip} ${TABLE}`)?.chains ?? [];
    return Object.fromEntries(
      [...chains].filter(([name]) => isPool(name)).map(([name, { rules }]) => [name, rules.map((r) => r.text)]),
    );
  }

  generation(): number | undefined {
    return this.counting ? this.#generation : undefined;
  }

  async read(families: readonly Family[], expected: () => Expected): Promise<Reading> {
    this.reads++;
    const mine = expected();
    const listings: Record<Family, Listing | undefined> = { 4: undefined, 6: undefined };
    for (const family of families) listings[family] = this.#listed(family, TABLE, mine);
    return { listings, ...(this.counting ? { generation: this.#generation } : {}) };
  }

  async write(lines: readonly string[]): Promise<void> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    this.#commit(lines);
    this.committed.push(lines);
  }

  async reference(family: Family, layout: LayoutOptions): Promise<Reference> {
    const scratch = new FakeNft();
    scratch.meddle(...layoutLines(family, { ...layout, table: SCRATCH, trial: true, closed: true }));
    const listing = scratch.#listed(family, SCRATCH, NOTHING_EXPECTED);
    if (!listing) throw new Error('no scratch table');
    return listing;
  }

  async tryOut(): Promise<Abilities> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    return this.abilities;
  }

  async counters(family: Family, sets: readonly SetSpec[]): Promise<ReadonlyMap<SetSpec, readonly Count[]>> {
    return new Map([...this.counts].filter(([set]) => set.family === family && sets.includes(set)));
  }

  #listed(family: Family, name: string, expected: Expected): Listing | undefined {
    const table = this.#tables.get(`${WORDS[family].ip} ${name}`);
    if (!table) return undefined;
    const patches = new Patching(family, expected);
    for (const [set, { elements }] of table.sets) {
      const spec = findSet(family, set);
      if (spec) patches.put(spec, [...elements]);
    }
    const pools = [...table.chains].filter(([chain]) => isPool(chain));
    patches.put(
      POOL_CHAINS[family],
      pools.map(([chain, { rules }]) => [chain, rules.map((r) => r.text).join('\n')]),
    );
    const declarations = new Map([...table.sets].map(([set, { declaration }]) => [set, declaration]));
    const { flags, chains, others } = structuredClone(table);
    return { flags, chains, declarations, patch: patches.finished(), others };
  }

  #commit(lines: readonly string[]): void {
    const tables = structuredClone(this.#tables);
    const bound = targetsOf(this.#tables);
    for (const line of lines) carryOut(line, tables, bound);
    this.#tables = tables;
    this.#generation++;
  }
}

/** Every chain that an element or a rule leads to. */
function targetsOf(tables: ReadonlyMap<string, Table>): Set<string> {
  const bound = new Set<string>();
  const note = (table: string, text: string) => {
    for (const [, chain = ''] of text.matchAll(/(?:jump|goto) ([^ ,]+)/g)) bound.add(`${table} ${chain}`);
  };
  for (const [name, { sets, chains }] of tables) {
    for (const { elements } of sets.values()) for (const suffix of elements.values()) note(name, suffix);
    for (const { rules } of chains.values()) for (const { text } of rules) note(name, text);
  }
  return bound;
}

function carryOut(line: string, tables: Map<string, Table>, bound: ReadonlySet<string>): void {
  if (line === 'flush ruleset') {
    tables.clear();
    return;
  }
  const [, verb = '', kind = '', name = '', rest = ''] = /^(\w+) (ct helper|\w+) (ip6? \S+) ?(.*)$/.exec(line) ?? [];
  if (kind === 'table') {
    if (verb === 'delete' && !tables.delete(name)) throw refused(line, 'no such table');
    if (verb !== 'add') return;
    const table = tables.get(name) ?? { flags: false, chains: new Map(), sets: new Map(), others: [] };
    tables.set(name, { ...table, flags: table.flags || rest.includes('dormant') });
    return;
  }
  const table = tables.get(name);
  if (!table) throw refused(line, 'no such table');
  const [, object = '', body = ''] = /^(\S+) ?(.*)$/.exec(rest) ?? [];
  if (kind === 'chain' && verb === 'delete' && bound.has(`${name} ${object}`)) throw refused(line, 'the chain is in use');
  if (kind === 'chain') changeChain(verb, object, body, table, line);
  else if (kind === 'rule') addRule(verb, object, body, table, line);
  else if (kind === 'element') changeElements(verb, object, body, table, line);
  else if (kind === 'ct helper') table.others.push(`ct helper ${object}`);
  else if (verb === 'add') table.sets.set(object, { declaration: `${kind} ${body}`, elements: new Map() });
  else if (!table.sets.delete(object)) throw refused(line, 'no such set');
}

function changeChain(verb: string, name: string, body: string, table: Table, line: string): void {
  const chain = table.chains.get(name);
  if (verb === 'add') {
    const [, type, hook, priority, policy] = /type (\w+) hook (\w+) priority (-?\d+); policy (\w+)/.exec(body) ?? [];
    const hooked = type === undefined ? {} : { hook: `${type} ${hook} ${priority} ${policy}` };
    table.chains.set(name, { ...hooked, rules: chain?.rules ?? [] });
    return;
  }
  if (!chain) throw refused(line, 'no such chain');
  if (verb === 'flush') chain.rules = [];
  else table.chains.delete(name);
}

function addRule(verb: string, name: string, body: string, table: Table, line: string): void {
  const chain = table.chains.get(name);
  const to = [...body.matchAll(/(?:jump|goto) ([^ ,]+)/g)].map(([, one = '']) => one);
  const unknown = [...body.matchAll(/@([^ :]+)/g)].some(([, set]) => !table.sets.has(set ?? ''));
  if (!chain || unknown || to.some((one) => !table.chains.has(one))) throw refused(line, 'no such chain or set');
  const comment = / comment "([^"]*)"/.exec(body)?.[1];
  const rule = { text: body.replace(/ comment ".*"/, ''), ...(comment === undefined ? {} : { comment }) };
  if (verb === 'insert') chain.rules.unshift(rule);
  else chain.rules.push(rule);
}

function changeElements(verb: string, name: string, body: string, table: Table, line: string): void {
  const elements = table.sets.get(name)?.elements;
  if (!elements) throw refused(line, 'no such set');
  for (const element of body.slice(2, -2).split(', ')) {
    const [, key = '', suffix = ''] = /^(.*?)((?: comment "[^"]*")?(?: : .*)?)$/.exec(element) ?? [];
    const present = elements.get(key);
    if (verb === 'delete' && !elements.delete(key)) throw refused(line, `no such element ${key}`);
    if (verb === 'delete') continue;
    const to = /(?:jump|goto) (\S+)/.exec(suffix)?.[1];
    if (to !== undefined && !table.chains.has(to)) throw refused(line, `no such chain ${to}`);
    if (present !== undefined && present !== suffix) throw refused(line, `element ${key} exists`);
    elements.set(key, suffix);
  }
}

const refused = (line: string, why: string) =>
  new AppError({ code: 'INTERNAL', reason: 'COMMAND_FAILED', message: `${why}: ${line}` });
