import type { Family } from '@gwctl/shared/domain/ip';
import { AppError } from '@gwctl/shared/errors/app-error';
import type { TableName } from './layout.js';
import type { Saved, SavedChain } from './save-format.js';
import { type Batch, type IptablesTables, touchedChains, type Variant } from './tables.js';
import type { Feature } from './trial.js';

const BUILT_IN: Readonly<Record<TableName, readonly string[]>> = {
  raw: ['PREROUTING', 'OUTPUT'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
};

type Chains = Map<string, { policy?: string; rules: string[] }>;

/**
 * iptables in memory, with the kernel's semantics as far as they matter here: each table changes as a whole or not at all, a batch
 * that fails leaves those before it, rules lead only to chains that exist, a chain goes only when empty and unused.
 */
export class FakeTables implements IptablesTables {
  readonly variant: Variant;
  readonly family: Family;
  /** Every transaction that was carried out, in order. */
  readonly committed: Batch[] = [];
  /** What this host lacks. */
  missing: ReadonlyMap<Feature, string> = new Map();
  /** How often somebody read or wrote. */
  calls = 0;
  readonly #tables = new Map<string, Chains>();
  #failures: { readonly table: TableName; readonly error: Error }[] = [];

  constructor(options: { readonly variant?: Variant; readonly family?: Family } = {}) {
    this.variant = options.variant ?? 'nft';
    this.family = options.family ?? 4;
    for (const [table, chains] of Object.entries(BUILT_IN))
      this.#tables.set(table, new Map(chains.map((c) => [c, { policy: 'ACCEPT', rules: [] }])));
  }

  /** The next transaction of this table fails with `error`. */
  failOnce(table: TableName, error: Error): void {
    this.#failures.push({ table, error });
  }

  /** What somebody else does: lines of iptables-restore. */
  meddle(table: TableName, lines: readonly string[]): void {
    this.#commit({ table, lines });
  }

  /** All rules of a table, each with its chain, in order. */
  rules(table: TableName): string[] {
    return [...(this.#tables.get(table) ?? [])].flatMap(([chain, { rules }]) => rules.map((r) => `${chain} ${r}`));
  }

  async read(tables: readonly TableName[]): Promise<Saved> {
    this.calls++;
    return new Map(tables.map((t) => [t, structuredClone(this.#tables.get(t) ?? new Map<string, SavedChain>())]));
  }

  async write(batches: readonly Batch[]): Promise<Saved> {
    this.calls++;
    for (const batch of batches) {
      const failure = this.#failures.find((f) => f.table === batch.table);
      if (failure) {
        this.#failures = this.#failures.filter((f) => f !== failure);
        throw failure.error;
      }
      this.#commit(batch);
      this.committed.push(batch);
    }
    return new Map(
      [...touchedChains(batches)].map(([table, { there }]) => {
        const chains = this.#tables.get(table) ?? new Map<string, SavedChain>();
        return [table, new Map([...there].map((c) => [c, structuredClone(chains.get(c) ?? { rules: [] })]))];
      }),
    );
  }

  async tryOut(): Promise<ReadonlyMap<Feature, string>> {
    const failure = this.#failures.shift();
    if (failure) throw failure.error;
    return this.missing;
  }

  /** With `[1:60]` before each rule: one packet each. */
  async readCounters(table: TableName): Promise<string> {
    return this.rules(table)
      .map((rule) => `[1:60] -A ${rule}\n`)
      .join('');
  }

  #commit({ table, lines }: Batch): void {
    const chains: Chains = structuredClone(this.#tables.get(table) ?? new Map());
    for (const line of lines) carryOut(line, chains);
    for (const [name, { rules }] of chains)
      for (const rule of rules) {
        const to = / -[jg] (\S+)$/.exec(rule)?.[1] ?? '';
        if (/^GWCTL-|^[a-z]/.test(to) && !chains.has(to)) throw refused(`chain ${name} leads to ${to}, which does not exist`);
      }
    this.#tables.set(table, chains);
  }
}

function carryOut(line: string, chains: Chains): void {
  const declared = /^:(\S+) (\S+)/.exec(line);
  if (declared?.[1]) {
    chains.set(declared[1], { rules: [] });
    return;
  }
  const [, command, name, rest = ''] = /^-([AIDFX]) (\S+) ?(.*)$/.exec(line) ?? [];
  const chain = chains.get(name ?? '');
  if (!command || !name || !chain) throw refused(`bad line or no such chain: ${line}`);
  switch (command) {
    case 'A':
      chain.rules.push(rest);
      return;
    case 'I': {
      const [, position, rule] = /^(\d+) (.*)$/.exec(rest) ?? [];
      if (position === undefined || rule === undefined || Number(position) > chain.rules.length + 1) throw refused(line);
      chain.rules.splice(Number(position) - 1, 0, rule);
      return;
    }
    case 'D': {
      const at = chain.rules.indexOf(rest);
      if (at < 0) throw refused(`no such rule: ${line}`);
      chain.rules.splice(at, 1);
      return;
    }
    case 'F':
      chain.rules.length = 0;
      return;
    default:
      if (chain.rules.length > 0) throw refused(`chain ${name} is not empty`);
      for (const { rules } of chains.values())
        if (rules.some((r) => r.endsWith(`-j ${name}`) || r.endsWith(`-g ${name}`))) throw refused(`chain ${name} is in use`);
      chains.delete(name);
  }
}

const refused = (why: string) => new AppError({ code: 'INTERNAL', reason: 'COMMAND_FAILED', message: why });
