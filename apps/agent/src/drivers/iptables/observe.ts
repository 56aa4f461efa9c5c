import type { OnChange } from '@gwctl/shared/domain/forward';
import { type Cidr, parseCidr } from '@gwctl/shared/domain/ip';
import type { Forwarding } from '../../system/ip-forwarding.js';
import {
  allowChain,
  CHAIN_PREFIX,
  CHAINS,
  forwardChain,
  type Hook,
  keyOfRule,
  partOf,
  TABLES,
  type TableName,
} from './layout.js';
import type { Saved, SavedTable } from './save-format.js';

export interface ObservedHook extends Hook {
  /** The foreign rule before it that can take the traffic first. */
  readonly shadowedBy?: string;
}

/** What is ours in one table. */
export interface ObservedTable {
  /** Our chains with their rules as iptables-save prints them, without the leading `-A CHAIN `. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Every rule outside our chains that leads into them. */
  readonly hooks: readonly ObservedHook[];
}

export interface Observed {
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  readonly tables: Readonly<Record<TableName, ObservedTable>>;
  readonly forwarding: Forwarding;
  /** Why flows cannot be removed when forwards change; undefined where they can. */
  readonly flowTrouble?: string;
}

/** A forward as the kernel's rules tell it, for what its change means to existing flows. */
export interface CarriedForward {
  readonly key: string;
  readonly protocol: 'tcp' | 'udp';
  /** Undefined: every address of the gateway. */
  readonly address?: string;
  readonly port: number;
  readonly target: string;
  readonly targetPort: number;
  readonly onChange: OnChange;
  /** Empty: anyone. */
  readonly allow: readonly Cidr[];
  /** Its rules about source addresses, for comparing only. */
  readonly source: string;
}

export function observeTables(saved: Saved): Observed['tables'] {
  const none: ObservedTable = { chains: new Map(), hooks: [] };
  const tables: Record<TableName, ObservedTable> = { mangle: none, filter: none, nat: none };
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
  before: Observed['tables'],
  saved: Saved,
  gone: ReadonlyMap<TableName, ReadonlySet<string>>,
): Observed['tables'] {
  const tables = { ...before };
  for (const name of TABLES) {
    const read = saved.get(name);
    const left = gone.get(name);
    if (!read && !left) continue;
    const now = observeTable(read ?? new Map(), name);
    const stays = ([chain]: readonly [string, unknown]) => !left?.has(chain) && !now.chains.has(chain);
    tables[name] = {
      chains: new Map([...[...before[name].chains].filter(stays), ...now.chains]),
      hooks: [...before[name].hooks.filter((h) => !read?.has(h.chain)), ...now.hooks],
    };
  }
  return tables;
}

function observeTable(table: SavedTable, name: TableName): ObservedTable {
  const chains = new Map<string, readonly string[]>();
  const hooks: ObservedHook[] = [];
  for (const [chain, { rules }] of table) {
    if (chain.startsWith(CHAIN_PREFIX)) {
      chains.set(chain, rules);
      continue;
    }
    rules.forEach((rule, i) => {
      if (!leadsToUs(rule)) return;
      const before = rules.slice(0, i).find((r) => !leadsToUs(r) && takes(r, name, table, new Set(), true));
      hooks.push({ chain, rule, ...(before === undefined ? {} : { shadowedBy: before }) });
    });
  }
  return { chains, hooks };
}

const leadsToUs = (rule: string): boolean => verdictOf(rule)?.startsWith(CHAIN_PREFIX) === true;

/** Where a rule leads. What others wrote in quotes (a comment may hold anything) is none of it. */
const verdictOf = (rule: string): string | undefined => /(?:^| )-[jg] (\S+)/.exec(rule.replace(/"(?:\\.|[^"\\])*"/g, '""'))?.[1];

/**
 * Verdicts that take a packet from us when they stand before our jump. In the forward hook only what refuses; in nat whatever decides
 * an address, for the first decision wins; in mangle also ACCEPT, which skips our allow-list.
 */
const TAKING: Readonly<Record<TableName, ReadonlySet<string>>> = {
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

/** Those of the forwards with these keys that observed rules carry; one whose rules were changed beyond recognition is left out. */
export function carriedForwards(tables: Observed['tables'], keys: ReadonlySet<string>): ReadonlyMap<string, CarriedForward> {
  const carried = new Map<string, CarriedForward>();
  const { nat, mangle } = tables;
  const rulesOf = (chain: string, key: string) =>
    (nat.chains.get(partOf(chain, key)) ?? []).filter((rule) => keyOfRule(rule) === key);
  for (const key of keys) {
    const dispatch = rulesOf(CHAINS.dispatch, key)[0] ?? '';
    const listener = /(?:^-d (\S+)\/32 | |^)(?:-i \S+ )?-p (tcp|udp) .*--dport (\d+) /.exec(dispatch);
    if (!listener) continue;
    const own = nat.chains.get(forwardChain(key)) ?? [];
    const target = own.map((r) => /-j DNAT --to-destination ([\d.]+):(\d+)$/.exec(r)).find((m) => m !== null);
    const onChange = own.map((r) => /"gwctl:[0-9a-f]{8}:mark:(drain|cut|keep)"/.exec(r)).find((m) => m !== null);
    if (!target) continue;
    carried.set(key, {
      key,
      protocol: listener[2] === 'udp' ? 'udp' : 'tcp',
      ...(listener[1] === undefined ? {} : { address: listener[1] }),
      port: Number(listener[3]),
      target: target[1] ?? '',
      targetPort: Number(target[2]),
      onChange: (onChange?.[1] as OnChange | undefined) ?? 'drain',
      allow: allowOf(mangle.chains.get(allowChain(key)) ?? []),
      source: rulesOf(CHAINS.post, key).join('\n'),
    });
  }
  return carried;
}

function allowOf(rules: readonly string[]): Cidr[] {
  return rules.flatMap((rule) => {
    const [, source] = /^(?:-s (\S+) )?-m comment --comment "gwctl:[0-9a-f]{8}:allow"/.exec(rule) ?? [undefined, undefined];
    if (!/:allow"/.test(rule)) return [];
    const cidr = parseCidr(source ?? '0.0.0.0/0');
    return cidr.ok ? [cidr.value] : [];
  });
}
