/**
 * What filters outside our own tables do with what we forward: those of the other variant of iptables, where one rule of ours lets
 * it pass, and those written with nft, which can only be named.
 */
import type { Family } from '@gwctl/shared/domain/ip';
import type { FilterHook, NativeDrop } from '../../filters/filters.js';
import type { DriverCondition } from '../driver.js';
import { acceptMarked, comment, MARK } from './layout.js';
import { verdictOf } from './observe.js';
import type { SavedTable } from './save-format.js';
import type { CompanionStep } from './steps.js';

/** Our only rules in the other variant's tables, of flows and of what comes to the relay: marks are the same for all of them. */
export const COMPANION = `-m connmark --mark ${MARK} ${comment('companion')} -j ACCEPT`;
export const COMPANIONS: Readonly<Record<FilterHook, string>> = { FORWARD: COMPANION, INPUT: acceptMarked('companion', 'in') };

/** The FORWARD or INPUT chain of the other variant. */
export interface OtherForward {
  /** How it may drop: its policy, or the first rule that does. Undefined where everything passes. */
  readonly drops?: string;
  readonly companions: number;
  /** The rule before the first of ours that may drop. */
  readonly before?: string;
}

/** What there is in one hook. */
export interface OtherHook {
  readonly forward: Readonly<Partial<Record<Family, OtherForward>>>;
  readonly native: readonly NativeDrop[];
}

export interface OtherFilters extends OtherHook {
  /** For instance `iptables-legacy`. */
  readonly program: string;
  readonly input: OtherHook;
  /** What could not be found out, and why. */
  readonly trouble?: string;
}

const NOBODY: OtherHook = { forward: {}, native: [] };
export const NO_OTHER_FILTERS: OtherFilters = { program: '', ...NOBODY, input: NOBODY };

const REFUSING = new Set(['DROP', 'REJECT', 'QUEUE', 'NFQUEUE', 'TARPIT', 'STEAL']);

/** Undefined where there is no such chain. */
export function otherForward(table: SavedTable, hook: FilterHook = 'FORWARD'): OtherForward | undefined {
  const companion = COMPANIONS[hook];
  const chain = table.get(hook);
  if (!chain) return undefined;
  // RETURN ends a built-in chain with its policy.
  const refuses = (rule: string) => mayRefuse(rule, table, new Set()) || (chain.policy === 'DROP' && rule.endsWith('-j RETURN'));
  const companions = chain.rules.filter((r) => r === companion).length;
  const before = companions === 0 ? undefined : chain.rules.slice(0, chain.rules.indexOf(companion)).find(refuses);
  const drops = chain.policy === 'DROP' ? 'policy DROP' : chain.rules.find(refuses);
  return { companions, ...(drops === undefined ? {} : { drops }), ...(before === undefined ? {} : { before }) };
}

function mayRefuse(rule: string, table: SavedTable, seen: Set<string>): boolean {
  const verdict = verdictOf(rule);
  if (verdict === undefined || seen.has(verdict)) return false;
  if (REFUSING.has(verdict)) return true;
  seen.add(verdict);
  return (table.get(verdict)?.rules ?? []).some((r) => mayRefuse(r, table, seen));
}

/** Exactly one rule of ours, first, where that chain may drop and something of ours passes it; else none. */
export function companionSteps(
  filters: OtherFilters,
  { family, hook, leaving }: { readonly family: Family; readonly hook: FilterHook; readonly leaving: boolean },
): CompanionStep[] {
  const there = (hook === 'INPUT' ? filters.input : filters).forward[family];
  if (!there) return [];
  const wanted = !leaving && there.drops !== undefined;
  if (wanted ? there.companions === 1 && there.before === undefined : there.companions === 0) return [];
  const rule = COMPANIONS[hook];
  return [
    {
      kind: 'companion',
      family,
      hook,
      wanted,
      title: `${filters.program}: ${wanted ? `accept our flows first in ${hook}` : `remove our rule from ${hook}`}`,
      forwards: [],
      lines: [...new Array(there.companions).fill(`-D ${hook} ${rule}`), ...(wanted ? [`-I ${hook} 1 ${rule}`] : [])],
    },
  ];
}

/** What {@link companionSteps} left. */
export function withCompanion(filters: OtherFilters, { family, hook, lines }: CompanionStep): OtherFilters {
  const companions = lines.some((l) => l.startsWith('-I')) ? 1 : 0;
  const changed = (of: OtherHook): OtherHook => {
    const { before: _, ...there } = of.forward[family] ?? { companions: 0 };
    return { ...of, forward: { ...of.forward, [family]: { ...there, companions } } };
  };
  return hook === 'INPUT' ? { ...filters, input: changed(filters.input) } : { ...filters, ...changed(pick(filters)) };
}

const pick = ({ forward, native }: OtherHook): OtherHook => ({ forward, native });

/** How a hook is spoken of. */
const WORDS = {
  FORWARD: {
    type: 'ForwardOpen',
    blocked: 'FORWARD_BLOCKED',
    packets: 'forwarded packets',
    what: 'what is forwarded',
    match: 'ct mark',
  },
  INPUT: {
    type: 'InputOpen',
    blocked: 'INPUT_BLOCKED',
    packets: 'packets to the relay',
    what: 'what comes to the relay',
    match: 'meta mark',
  },
} as const satisfies Record<FilterHook, unknown>;

export function filterCondition(filters: OtherFilters, hook: FilterHook = 'FORWARD'): DriverCondition {
  const { program, trouble } = filters;
  const { forward, native } = hook === 'INPUT' ? filters.input : filters;
  const { type, blocked, packets, what, match } = WORDS[hook];
  if (native.length > 0) {
    const names = native.map(({ table, chain }) => `${table} ${chain}`).join(' and ');
    const bit = MARK.split('/')[0];
    const paste = native
      .map(({ table, chain }) => `nft insert rule ${table} ${chain} ${match} and ${bit} == ${bit} accept`)
      .join('; ');
    return {
      type,
      status: 'false',
      reason: blocked,
      message: `another tool's chain ${names} drops ${packets}, and no rule outside it can change that; unless it accepts them in another way, add there: ${paste}`,
    };
  }
  if (trouble !== undefined)
    return {
      type,
      status: 'unknown',
      reason: 'FILTERS_UNREADABLE',
      message: `whether another tool's filter drops ${what} is unknown: ${trouble}`,
    };
  if (Object.values(forward).some((f) => f?.drops !== undefined))
    return {
      type,
      status: 'true',
      reason: 'COMPANION_RULE',
      message: `the ${hook} chain of ${program} may drop; while there are forwards, a rule of ours in its first place accepts their flows`,
    };
  return { type, status: 'true', reason: 'NOTHING_IN_THE_WAY', message: `no other tool's filter drops ${what}` };
}
