import { AppError } from '@gwctl/shared/errors/app-error';
import { layoutLines, SCRATCH, TABLE } from './layout.js';
import type { ListedRule, Listing } from './listing.js';
import type { NftTable, Reading } from './nft.js';
import type { Reference } from './observe.js';

interface Table {
  flags: boolean;
  chains: Map<string, { hook?: string; rules: ListedRule[] }>;
  sets: Map<string, { declaration: string; elements: Map<string, string> }>;
}

/**
 * nft in memory, with the kernel's semantics as far as they matter here: a transaction happens as a whole or not at all, what is named
 * must exist, an element that is there takes no other value, one that is not there cannot be deleted.
 */
export class FakeNft implements NftTable {
  /** Every transaction of the driver that was carried out. */
  readonly committed: (readonly string[])[] = [];
  /** How often the table was listed. */
  reads = 0;
  /** Whether the count of changes is known. */
  counting = true;
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

  /** The name of every table. */
  tables(): string[] {
    return [...this.#tables.keys()];
  }

  elements(set: string): string[] {
    return [...(this.#tables.get(TABLE)?.sets.get(set)?.elements ?? [])].map(([key, suffix]) => key + suffix);
  }

  generation(): number | undefined {
    return this.counting ? this.#generation : undefined;
  }

  async read(): Promise<Reading> {
    this.reads++;
    const listing = this.#listed(TABLE);
    return { ...(listing ? { listing } : {}), ...(this.counting ? { generation: this.#generation } : {}) };
  }

  async write(lines: readonly string[]): Promise<void> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    this.#commit(lines);
    this.committed.push(lines);
  }

  async reference(): Promise<Reference> {
    const scratch = new FakeNft();
    scratch.meddle(...layoutLines(SCRATCH, { trial: true, closed: true }));
    const listing = scratch.#listed(SCRATCH);
    if (!listing) throw new Error('no scratch table');
    return listing;
  }

  async tryOut(): Promise<void> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
  }

  #listed(name: string): Listing | undefined {
    const table = this.#tables.get(name);
    return table && { ...structuredClone(table), others: [] };
  }

  #commit(lines: readonly string[]): void {
    const tables = structuredClone(this.#tables);
    for (const line of lines) carryOut(line, tables);
    this.#tables = tables;
    this.#generation++;
  }
}

function carryOut(line: string, tables: Map<string, Table>): void {
  if (line === 'flush ruleset') {
    tables.clear();
    return;
  }
  const [, verb = '', kind = '', name = '', rest = ''] = /^(\w+) (\w+) ip (\S+) ?(.*)$/.exec(line) ?? [];
  if (kind === 'table') {
    if (verb === 'delete' && !tables.delete(name)) throw refused(line, 'no such table');
    if (verb !== 'add') return;
    const table = tables.get(name) ?? { flags: false, chains: new Map(), sets: new Map() };
    tables.set(name, { ...table, flags: table.flags || rest.includes('dormant') });
    return;
  }
  const table = tables.get(name);
  if (!table) throw refused(line, 'no such table');
  const [, object = '', body = ''] = /^(\S+) ?(.*)$/.exec(rest) ?? [];
  if (kind === 'chain') changeChain(verb, object, body, table, line);
  else if (kind === 'rule') addRule(verb, object, body, table, line);
  else if (kind === 'element') changeElements(verb, object, body, table, line);
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
  const to = /(?:jump|goto) (\S+)/.exec(body)?.[1];
  const unknown = [...body.matchAll(/@(\S+)/g)].some(([, set]) => !table.sets.has(set ?? ''));
  if (!chain || unknown || (to !== undefined && !table.chains.has(to))) throw refused(line, 'no such chain or set');
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
    if (present !== undefined && present !== suffix) throw refused(line, `element ${key} exists`);
    elements.set(key, suffix);
  }
}

const refused = (line: string, why: string) =>
  new AppError({ code: 'INTERNAL', reason: 'COMMAND_FAILED', message: `${why}: ${line}` });
