import type { Family } from '@gwctl/shared/domain/ip';
import type { Forwarding } from '../../system/ip-forwarding.js';
import { CHAIN_PREFIX, CHAINS, type Hook, TABLES, type TableName } from './layout.js';
import type { OtherFilters } from './other-filters.js';
import type { FamilyRendered } from './render.js';
import type { Saved, SavedTable } from './save-format.js';
import { ShardMap } from './shard-map.js';

export interface ObservedHook extends Omit<Hook, 'to'> {
  /** The foreign rule before it that can take the traffic first. */
  readonly shadowedBy?: string;
}

/** A chain as it was read, or the one that was rendered where the two say the same. */
export interface ObservedChain {
  /** As iptables-save prints them, without the leading `-A CHAIN `. */
  readonly rules: readonly string[];
}

/** What is ours in one table. */
export interface ObservedTable {
  readonly chains: ShardMap<ObservedChain>;
  /** Every rule outside our chains that leads into them. */
  readonly hooks: readonly ObservedHook[];
}

export type ObservedTables = Readonly<Record<TableName, ObservedTable>>;

/** What is ours in one family. */
export interface FamilyObserved {
  readonly family: Family;
  readonly tables: ObservedTables;
  readonly forwarding: Forwarding;
  /** Nothing of ours is left but the acceptance of flows that go on after their forwards. */
  readonly lingering?: boolean;
  /** The rendering that it was compared with and found equal to; undefined where it was only read. */
  readonly as?: FamilyRendered;
}

export interface Observed {
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  /** Those that the host's iptables has. */
  readonly families: readonly FamilyObserved[];
  readonly filters: OtherFilters;
  /** Why flows cannot be removed when forwards change; undefined where they can. */
  readonly flowTrouble?: string;
}

/** Whether the acceptance of our flows in the forward hook is in place, so that flows may live on it. */
export function acceptsFlows({ filter }: ObservedTables): boolean {
  return filter.chains.has(CHAINS.forward) && filter.hooks.some((h) => h.chain === 'FORWARD');
}

/** Whether that is all there is. */
export const onlyAccepts = (tables: ObservedTables): boolean => acceptsFlows(tables) && tables.nat.chains.size === 0;

const NONE: ObservedTable = { chains: ShardMap.of(), hooks: [] };

export function observeTables(saved: Saved): ObservedTables {
  const tables: Record<TableName, ObservedTable> = { raw: NONE, mangle: NONE, filter: NONE, nat: NONE };
  for (const name of TABLES) {
    const table = saved.get(name);
    if (table) tables[name] = observeTable(table, name);
  }
  return tables;
}

/**
 * What is there after some chains were read back and `gone` were removed; all else stands as before. Whether a jump of ours is
 * shadowed by way of a chain that was not read is not seen here: it was just put first.
 */
export function observeChains(
  before: ObservedTables,
  saved: Saved,
  gone: ReadonlyMap<TableName, ReadonlySet<string>>,
): ObservedTables {
  const tables = { ...before };
  for (const name of TABLES) {
    const read = saved.get(name);
    const left = gone.get(name);
    if (!read && !left) continue;
    const now = observeTable(read ?? new Map(), name);
    tables[name] = {
      chains: before[name].chains.with([...[...(left ?? [])].map((chain) => [chain, undefined] as const), ...now.chains]),
      hooks: [...before[name].hooks.filter((h) => !read?.has(h.chain)), ...now.hooks],
    };
  }
  return tables;
}

/** The same, with the rendered chains where they say the same, so that they are kept once and found equal at a glance. */
export function shareChains(tables: ObservedTables, rendered: FamilyRendered): ObservedTables {
  const shared = { ...tables };
  for (const name of TABLES) {
    const { chains, hooks } = tables[name];
    const wanted = rendered.tables[name].chains;
    const equal: [string, ObservedChain][] = [];
    let different = 0;
    for (const [chain, there, want] of chains.changes(wanted))
      if (there && want && sameRules(there.rules, want.rules)) equal.push([chain, want]);
      else different++;
    shared[name] = { chains: different === 0 ? wanted : chains.with(equal), hooks };
  }
  return shared;
}

export const sameRules = (a: readonly string[], b: readonly string[]): boolean =>
  a === b || (a.length === b.length && a.every((rule, i) => rule === b[i]));

function observeTable(table: SavedTable, name: TableName): ObservedTable {
  const chains: [string, ObservedChain][] = [];
  const hooks: ObservedHook[] = [];
  for (const [chain, { rules }] of table) {
    if (chain.startsWith(CHAIN_PREFIX)) {
      chains.push([chain, { rules }]);
      continue;
    }
    rules.forEach((rule, i) => {
      if (!leadsToUs(rule)) return;
      const before = rules.slice(0, i).find((r) => !leadsToUs(r) && takes(r, name, table, new Set(), true));
      hooks.push({ chain, rule, ...(before === undefined ? {} : { shadowedBy: before }) });
    });
  }
  return { chains: ShardMap.of(chains), hooks };
}

const leadsToUs = (rule: string): boolean => verdictOf(rule)?.startsWith(CHAIN_PREFIX) === true;

/** Where a rule leads. What others wrote in quotes (a comment may hold anything) is none of it. */
export const verdictOf = (rule: string): string | undefined =>
  /(?:^| )-[jg] (\S+)/.exec(rule.replace(/"(?:\\.|[^"\\])*"/g, '""'))?.[1];

/**
 * Verdicts that take a packet from us when they stand before our jump. In the forward hook only what refuses; in nat whatever decides
 * an address, for the first decision wins; in mangle and raw also ACCEPT, which skips our allow-list and helper.
 */
const TAKING: Readonly<Record<TableName, ReadonlySet<string>>> = {
  raw: new Set(['ACCEPT', 'DROP', 'CT', 'NOTRACK']),
  filter: new Set(['DROP', 'REJECT', 'QUEUE', 'NFQUEUE', 'TARPIT', 'STEAL']),
  nat: new Set(['ACCEPT', 'DNAT', 'REDIRECT', 'SNAT', 'MASQUERADE', 'NETMAP']),
  mangle: new Set(['ACCEPT', 'DROP', 'QUEUE', 'NFQUEUE', 'TPROXY', 'STEAL']),
};

function takes(rule: string, name: TableName, table: SavedTable, seen: Set<string>, builtIn: boolean): boolean {
  const verdict = verdictOf(rule);
  if (verdict === undefined) return false;
  if (TAKING[name].has(verdict)) return true;
  // In a built-in chain RETURN ends it with the policy; in the forward hook that may well be DROP.
  if (verdict === 'RETURN') return builtIn;
  const chain = table.get(verdict);
  if (!chain || seen.has(verdict)) return false;
  seen.add(verdict);
  return chain.rules.some((r) => takes(r, name, table, seen, false));
}
