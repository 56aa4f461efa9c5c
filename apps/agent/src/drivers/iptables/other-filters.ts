/**
 * What filters outside our own tables do with what we forward: those of the other variant of iptables, where one rule of ours lets
 * it pass, and those written with nft, which can only be named.
 */
import type { Family } from '@gwctl/shared/domain/ip';
import type { NativeDrop } from '../../filters/filters.js';
import type { DriverCondition } from '../driver.js';
import { comment, MARK } from './layout.js';
import { verdictOf } from './observe.js';
import type { SavedTable } from './save-format.js';
import type { CompanionStep } from './steps.js';

/** Our only rule in the other variant's tables: the connection mark is the same for all of them. */
export const COMPANION = `-m connmark --mark ${MARK} ${comment('companion')} -j ACCEPT`;

/** The FORWARD chain of the other variant. */
export interface OtherForward {
  /** How it may drop: its policy, or the first rule that does. Undefined where everything passes. */
  readonly drops?: string;
  readonly companions: number;
  /** The rule before the first of ours that may drop. */
  readonly before?: string;
}

export interface OtherFilters {
  /** For instance `iptables-legacy`. */
  readonly program: string;
  readonly forward: Readonly<Partial<Record<Family, OtherForward>>>;
  readonly native: readonly NativeDrop[];
  /** What could not be found out, and why. */
  readonly trouble?: string;
}

export const NO_OTHER_FILTERS: OtherFilters = { program: '', forward: {}, native: [] };

const REFUSING = new Set(['DROP', 'REJECT', 'QUEUE', 'NFQUEUE', 'TARPIT', 'STEAL']);

/** Undefined where there is no such chain. */
export function otherForward(table: SavedTable): OtherForward | undefined {
  const chain = table.get('FORWARD');
  if (!chain) return undefined;
  // RETURN ends a built-in chain with its policy.
  const refuses = (rule: string) => mayRefuse(rule, table, new Set()) || (chain.policy === 'DROP' && rule.endsWith('-j RETURN'));
  const companions = chain.rules.filter((r) => r === COMPANION).length;
  const before = companions === 0 ? undefined : chain.rules.slice(0, chain.rules.indexOf(COMPANION)).find(refuses);
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

/** Exactly one rule of ours, first, where that chain may drop and we forward; else none. */
export function companionSteps({ program, forward }: OtherFilters, family: Family, leaving: boolean): CompanionStep[] {
  const there = forward[family];
  if (!there) return [];
  const wanted = !leaving && there.drops !== undefined;
  if (wanted ? there.companions === 1 && there.before === undefined : there.companions === 0) return [];
  return [
    {
      kind: 'companion',
      family,
      title: `${program}: ${wanted ? 'accept our flows first in FORWARD' : 'remove our rule from FORWARD'}`,
      forwards: [],
      lines: [...new Array(there.companions).fill(`-D FORWARD ${COMPANION}`), ...(wanted ? [`-I FORWARD 1 ${COMPANION}`] : [])],
    },
  ];
}

/** What {@link companionSteps} left. */
export function withCompanion(filters: OtherFilters, { family, lines }: CompanionStep): OtherFilters {
  const { before: _, ...there } = filters.forward[family] ?? { companions: 0 };
  const companions = lines.some((l) => l.startsWith('-I')) ? 1 : 0;
  return { ...filters, forward: { ...filters.forward, [family]: { ...there, companions } } };
}

export function filterCondition({ program, forward, native, trouble }: OtherFilters): DriverCondition {
  const type = 'ForwardOpen';
  if (native.length > 0) {
    const names = native.map(({ table, chain }) => `${table} ${chain}`).join(' and ');
    const bit = MARK.split('/')[0];
    const paste = native
      .map(({ table, chain }) => `nft insert rule ${table} ${chain} ct mark and ${bit} == ${bit} accept`)
      .join('; ');
    return {
      type,
      status: 'false',
      reason: 'FORWARD_BLOCKED',
      message: `another tool's chain ${names} drops forwarded packets, and no rule outside it can change that; unless it accepts them in another way, add there: ${paste}`,
    };
  }
  if (trouble !== undefined)
    return {
      type,
      status: 'unknown',
      reason: 'FILTERS_UNREADABLE',
      message: `whether another tool's filter drops what is forwarded is unknown: ${trouble}`,
    };
  if (Object.values(forward).some((f) => f?.drops !== undefined))
    return {
      type,
      status: 'true',
      reason: 'COMPANION_RULE',
      message: `the FORWARD chain of ${program} may drop; while there are forwards, a rule of ours in its first place accepts their flows`,
    };
  return { type, status: 'true', reason: 'NOTHING_IN_THE_WAY', message: "no other tool's filter drops what is forwarded" };
}
