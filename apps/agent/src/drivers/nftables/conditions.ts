import type { Family } from '@gwctl/shared/domain/ip';
import {
  type FilterHook,
  type ForwardFilters,
  type HookFilters,
  iptablesForward,
  MARK_BIT,
  type NativeDrop,
  seesInputMark,
  seesMark,
  VARIANTS,
} from '../../filters/filters.js';
import type { DriverCondition } from '../driver.js';
import { flowCondition, forwardingConditions } from '../host-conditions.js';
import type { Observed } from './observe.js';
import { isEmpty } from './render.js';
import { FAMILIES } from './sets.js';

/** What is worth telling about the gateway: whose doing forwarding is, whether flows can be removed, and who may drop what we forward. */
export function conditions(observed: Observed): DriverCondition[] {
  const { base, flowTrouble, filters } = observed;
  // What drops IPv6 is in nobody's way where no IPv6 is forwarded.
  const concerned = isEmpty(base, 6) ? withoutSix(filters) : filters;
  const facts = [switchCondition(observed), flowCondition(flowTrouble), filterCondition(concerned, FORWARD)];
  if (base.listening[4] + base.listening[6] === 0) return facts;
  const input = base.listening[6] === 0 ? withoutSix(filters.input) : filters.input;
  return [...facts, filterCondition({ ...input, ...(filters.trouble === undefined ? {} : { trouble: filters.trouble }) }, INPUT)];
}

/** What is said of a hook. */
interface HookWords {
  readonly type: string;
  readonly hook: FilterHook;
  readonly blocked: string;
  readonly what: string;
  readonly packets: string;
  readonly rule: (priority: number) => string;
}

const BIT = `0x${MARK_BIT.toString(16)}`;
const MARKED = `meta mark and ${BIT} == ${BIT}`;

const FORWARD: HookWords = {
  type: 'ForwardOpen',
  hook: 'FORWARD',
  blocked: 'FORWARD_BLOCKED',
  what: 'what is forwarded',
  packets: 'forwarded packets',
  rule: (priority) => (seesMark(priority) ? MARKED : 'ct status dnat'),
};

const INPUT: HookWords = {
  type: 'InputOpen',
  hook: 'INPUT',
  blocked: 'INPUT_BLOCKED',
  what: 'what comes to the relay',
  packets: 'packets to the relay',
  // Before our own chain nothing is marked yet.
  rule: (priority) => (seesInputMark(priority) ? MARKED : 'th dport PORT'),
};

/** Of the families that something is forwarded in. */
function switchCondition({ base, forwarding, forwarding6 }: Observed): DriverCondition {
  const six = forwarding6 && !isEmpty(base, 6) ? [{ family: 6 as const, forwarding: forwarding6 }] : [];
  const four = isEmpty(base, 4) && six.length > 0 ? [] : [{ family: 4 as const, forwarding }];
  return forwardingConditions([...four, ...six]);
}

function withoutSix<F extends HookFilters>({ six: _, ...filters }: F): Omit<F, 'six'> {
  return { ...filters, native: filters.native.filter((d) => !d.table.startsWith('ip6 ')) };
}

function filterCondition(
  filters: HookFilters & Pick<ForwardFilters, 'trouble'>,
  { type, hook, blocked, what, packets, rule }: HookWords,
): DriverCondition {
  const [first] = filters.native;
  if (first) {
    const names = filters.native.map((drop) => dropText(drop, packets)).join(' and ');
    const paste = filters.native
      .map(({ table, chain, priority }) => `nft insert rule ${table} ${chain} ${rule(priority)} accept`)
      .join('; ');
    return {
      type,
      status: 'false',
      reason: blocked,
      message: `another tool's chain ${names}, and no rule outside it can change that; unless it accepts them in another way, add there: ${paste}`,
    };
  }
  if (filters.trouble !== undefined)
    return {
      type,
      status: 'unknown',
      reason: 'FILTERS_UNREADABLE',
      message: `whether another tool's filter drops ${what} is unknown: ${filters.trouble}`,
    };
  const held = FAMILIES.flatMap((family) =>
    VARIANTS.filter((v) => iptablesForward(filters, family, v)?.drops !== undefined).map((v) => `${program(family)}-${v}`),
  );
  if (held.length > 0)
    return {
      type,
      status: 'true',
      reason: 'COMPANION_RULE',
      message: `the ${hook} chain of ${held.join(' and ')} may drop; while there are forwards, a rule of ours in its first place accepts their flows`,
    };
  return { type, status: 'true', reason: 'NOTHING_IN_THE_WAY', message: `no other tool's filter drops ${what}` };
}

const dropText = ({ table, chain, by }: NativeDrop, packets: string): string =>
  `${table} ${chain} drops ${packets} by its ${by === undefined ? 'policy' : `last rule (${by})`}`;

const program = (family: Family) => (family === 4 ? 'iptables' : 'ip6tables');
