/**
 * What other programs' filters do with forwarded packets, and the one rule by which ours pass. Drivers mark our packets; whoever filters
 * after them can accept that mark.
 */

import type { Family } from '@gwctl/shared/domain/ip';

/** "A packet of ours", between two priorities of the forward hook; and, in the connection mark, "a flow of ours". */
export const MARK_BIT = 0x1000000;

/** Between these priorities of the forward hook packets of ours carry {@link MARK_BIT}. */
export const MARKED = { from: -5, to: 5 } as const;

/** From this priority of the input hook on, packets to the relay carry it; nobody behind that hook asks for it, so it stays on. */
export const INPUT_MARKED = -155;

/** The names of our own tables in nftables, which are not others'. */
export const OWN_TABLES: readonly string[] = ['gwctl', 'gwctl-detect'];

export const VARIANTS = ['nft', 'legacy'] as const;
/** Of iptables. */
export type Variant = (typeof VARIANTS)[number];

/** The hooks in which others' filters meet what is ours: what is forwarded, and what comes to the relay. */
export type FilterHook = 'FORWARD' | 'INPUT';

/** The FORWARD or INPUT chain of one variant of iptables, as far as our flows are concerned. */
export interface IptablesForward {
  /** How it may drop: its policy, or the first rule that does. Undefined where everything passes. */
  readonly drops?: string;
  /** How many of our rules are there. */
  readonly companions: number;
  /** The rule before the first of ours that may drop. */
  readonly before?: string;
}

/** A chain in one of these hooks, written with nft, that drops what it does not accept and does not let our flows pass. */
export interface NativeDrop {
  /** For instance `inet firewall`. */
  readonly table: string;
  readonly chain: string;
  readonly priority: number;
  /** How it drops, where it is not by its policy: its last rule. */
  readonly by?: string;
}

/** What others' filters do with packets in one hook. An accept of ours in our own table saves no packet from them. */
export interface HookFilters {
  readonly nft?: IptablesForward;
  readonly legacy?: IptablesForward;
  /** Of ip6tables. */
  readonly six?: { readonly nft?: IptablesForward; readonly legacy?: IptablesForward };
  readonly native: readonly NativeDrop[];
}

/** What others' filters do with forwarded packets, and with those to the gateway itself. */
export interface ForwardFilters extends HookFilters {
  readonly input: HookFilters;
  /** What could not be found out, and why. */
  readonly trouble?: string;
}

export const NO_FILTERS: ForwardFilters = { native: [], input: { native: [] } };

/** What one variant of iptables, or of ip6tables, does in one hook; undefined where it is not in use. */
export const iptablesForward = (filters: HookFilters, family: Family, variant: Variant): IptablesForward | undefined =>
  family === 4 ? filters[variant] : filters.six?.[variant];

/** Our only rule outside our table, in each of the two hooks. */
export const COMPANION = `-m mark --mark 0x${MARK_BIT.toString(16)}/0x${MARK_BIT.toString(16)} -m comment --comment "gwctl:companion" -j ACCEPT`;

const REFUSING = new Set(['DROP', 'REJECT', 'QUEUE', 'NFQUEUE', 'TARPIT', 'STEAL']);

/** Whether our mark is on packets in a chain of the forward hook with this priority: it is put on just before 0 and taken off just after. */
export const seesMark = (priority: number): boolean => priority > MARKED.from && priority < MARKED.to;

/** The same in the input hook. */
export const seesInputMark = (priority: number): boolean => priority > INPUT_MARKED;

/** Reads what `iptables-VARIANT-save -t filter` prints. Undefined where there is no such table. */
export function parseForward(text: string, hook: FilterHook = 'FORWARD'): IptablesForward | undefined {
  const policy = new RegExp(`^:${hook} (\\S+)`, 'm').exec(text)?.[1];
  if (policy === undefined) return undefined;
  const chains = new Map<string, string[]>();
  for (const [, chain = '', rule = ''] of text.matchAll(/^-A (\S+) (.*)$/gm))
    chains.set(chain, [...(chains.get(chain) ?? []), rule]);
  const rules = chains.get(hook) ?? [];
  const companions = rules.filter((r) => r === COMPANION).length;
  const first = rules.indexOf(COMPANION);
  // RETURN ends a built-in chain with its policy.
  const dropping = (rule: string) => mayDrop(rule, chains, new Set()) || (policy === 'DROP' && rule.endsWith('-j RETURN'));
  const before = first < 0 ? undefined : rules.slice(0, first).find(dropping);
  const drops = policy === 'DROP' ? 'policy DROP' : rules.find(dropping);
  return { companions, ...(drops === undefined ? {} : { drops }), ...(before === undefined ? {} : { before }) };
}

function mayDrop(rule: string, chains: ReadonlyMap<string, readonly string[]>, seen: Set<string>): boolean {
  const verdict = /(?:^| )-[jg] (\S+)/.exec(rule)?.[1];
  if (verdict === undefined || seen.has(verdict)) return false;
  if (REFUSING.has(verdict)) return true;
  seen.add(verdict);
  return (chains.get(verdict) ?? []).some((r) => mayDrop(r, chains, seen));
}
