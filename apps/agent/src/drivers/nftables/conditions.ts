import type { Family } from '@gwctl/shared/domain/ip';
import { type ForwardFilters, iptablesForward, MARK_BIT, type NativeDrop, seesMark, VARIANTS } from '../../filters/filters.js';
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
  return [switchCondition(observed), flowCondition(flowTrouble), filterCondition(concerned)];
}

/** Of the families that something is forwarded in. */
function switchCondition({ base, forwarding, forwarding6 }: Observed): DriverCondition {
  const six = forwarding6 && !isEmpty(base, 6) ? [{ family: 6 as const, forwarding: forwarding6 }] : [];
  const four = isEmpty(base, 4) && six.length > 0 ? [] : [{ family: 4 as const, forwarding }];
  return forwardingConditions([...four, ...six]);
}

function withoutSix({ six: _, ...filters }: ForwardFilters): ForwardFilters {
  return { ...filters, native: filters.native.filter((d) => !d.table.startsWith('ip6 ')) };
}

const BIT = `0x${MARK_BIT.toString(16)}`;

function filterCondition(filters: ForwardFilters): DriverCondition {
  const type = 'ForwardOpen';
  const [first] = filters.native;
  if (first) {
    const names = filters.native.map(dropText).join(' and ');
    const paste = filters.native
      .map(({ table, chain, priority }) => {
        const ours = seesMark(priority) ? `meta mark and ${BIT} == ${BIT}` : 'ct status dnat';
        return `nft insert rule ${table} ${chain} ${ours} accept`;
      })
      .join('; ');
    return {
      type,
      status: 'false',
      reason: 'FORWARD_BLOCKED',
      message: `another tool's chain ${names}, and no rule outside it can change that; unless it accepts them in another way, add there: ${paste}`,
    };
  }
  if (filters.trouble !== undefined)
    return {
      type,
      status: 'unknown',
      reason: 'FILTERS_UNREADABLE',
      message: `whether another tool's filter drops what is forwarded is unknown: ${filters.trouble}`,
    };
  const held = FAMILIES.flatMap((family) =>
    VARIANTS.filter((v) => iptablesForward(filters, family, v)?.drops !== undefined).map((v) => `${program(family)}-${v}`),
  );
  if (held.length > 0)
    return {
      type,
      status: 'true',
      reason: 'COMPANION_RULE',
      message: `the FORWARD chain of ${held.join(' and ')} may drop; while there are forwards, a rule of ours in its first place accepts their flows`,
    };
  return { type, status: 'true', reason: 'NOTHING_IN_THE_WAY', message: "no other tool's filter drops what is forwarded" };
}

const dropText = ({ table, chain, by }: NativeDrop): string =>
  `${table} ${chain} drops forwarded packets by its ${by === undefined ? 'policy' : `last rule (${by})`}`;

const program = (family: Family) => (family === 4 ? 'iptables' : 'ip6tables');
