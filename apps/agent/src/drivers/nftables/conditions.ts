import type { DriverCondition } from '../driver.js';
import { type ForwardFilters, seesMark, VARIANTS } from './filters.js';
import { MARK_BIT } from './layout.js';
import type { Observed } from './observe.js';

/** What is worth telling about the gateway: whose doing forwarding is, whether flows can be removed, and who may drop what we forward. */
export function conditions({ forwarding, flowTrouble, filters }: Observed): DriverCondition[] {
  return [forwardingCondition(forwarding), flowCondition(flowTrouble), filterCondition(filters)];
}

function forwardingCondition({ on, ours, trouble }: Observed['forwarding']): DriverCondition {
  const type = 'IpForwarding';
  if (!on)
    return {
      type,
      status: 'false',
      reason: 'OFF',
      message: 'net.ipv4.ip_forward is 0; the agent sets it to 1 with the first forward, and back with the last',
    };
  if (ours)
    return {
      type,
      status: 'true',
      reason: 'TURNED_ON_BY_AGENT',
      message:
        'net.ipv4.ip_forward was 0 and the agent set it to 1; until it goes back, only flows of forwards are forwarded. To forward other traffic too, set it to 1 in /etc/sysctl.d and restart the host',
    };
  const doubt = trouble === undefined ? '' : `; whether the agent did it is unknown, because ${trouble}`;
  return { type, status: 'true', reason: 'ALREADY_ON', message: `net.ipv4.ip_forward is 1 by the host's own doing${doubt}` };
}

function flowCondition(trouble: string | undefined): DriverCondition {
  const type = 'FlowCleanUp';
  if (trouble === undefined)
    return {
      type,
      status: 'true',
      reason: 'POSSIBLE',
      message: 'flows of removed and changed forwards are removed from connection tracking',
    };
  return {
    type,
    status: 'false',
    reason: 'FLOWS_NOT_REMOVED',
    message: `flows of removed or changed forwards may go on as before: ${trouble}`,
  };
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
