import type { DriverCondition } from '../driver.js';
import { flowCondition, forwardingCondition } from '../host-conditions.js';
import { type ForwardFilters, seesMark, VARIANTS } from './filters.js';
import { MARK_BIT } from './layout.js';
import type { Observed } from './observe.js';

/** What is worth telling about the gateway: whose doing forwarding is, whether flows can be removed, and who may drop what we forward. */
export function conditions({ forwarding, flowTrouble, filters }: Observed): DriverCondition[] {
  return [forwardingCondition(forwarding), flowCondition(flowTrouble), filterCondition(filters)];
}

const BIT = `0x${MARK_BIT.toString(16)}`;

function filterCondition(filters: ForwardFilters): DriverCondition {
  const type = 'ForwardOpen';
  const [first] = filters.native;
  if (first) {
    const names = filters.native.map(({ table, chain }) => `${table} ${chain}`).join(' and ');
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
      message: `another tool's chain ${names} drops forwarded packets by its policy, and no rule outside it can change that; unless it accepts them in another way, add there: ${paste}`,
    };
  }
  if (filters.trouble !== undefined)
    return {
      type,
      status: 'unknown',
      reason: 'FILTERS_UNREADABLE',
      message: `whether another tool's filter drops what is forwarded is unknown: ${filters.trouble}`,
    };
  const held = VARIANTS.filter((v) => filters[v]?.drops !== undefined);
  if (held.length > 0)
    return {
      type,
      status: 'true',
      reason: 'COMPANION_RULE',
      message: `the FORWARD chain of ${held.map((v) => `iptables-${v}`).join(' and ')} may drop; while there are forwards, a rule of ours in its first place accepts their flows`,
    };
  return { type, status: 'true', reason: 'NOTHING_IN_THE_WAY', message: "no other tool's filter drops what is forwarded" };
}
