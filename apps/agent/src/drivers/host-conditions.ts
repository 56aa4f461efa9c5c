/** Facts about the gateway that every kernel driver tells in the same words. */
import type { Family } from '@gwctl/shared/domain/ip';
import type { Forwarding } from '../system/ip-forwarding.js';
import type { DriverCondition } from './driver.js';

/** The kernel's switch of each family. */
export const FORWARDING_KEYS = { 4: 'net.ipv4.ip_forward', 6: 'net.ipv6.conf.all.forwarding' } as const;

/** Whose doing forwarding is, of at least one family: of several, the one that most is to be said of leads. */
export function forwardingConditions(
  families: readonly { readonly family: Family; readonly forwarding: Forwarding }[],
): DriverCondition {
  const all = families.map(({ family, forwarding }) => forwardingCondition(forwarding, FORWARDING_KEYS[family]));
  const [first] = all;
  if (!first) throw new Error('forwarding of no family is to be told of');
  const worst = all.find((c) => c.status === 'false') ?? all.find((c) => c.reason === 'TURNED_ON_BY_AGENT') ?? first;
  return { ...worst, message: all.map((c) => c.message).join('; ') };
}

function forwardingCondition({ on, ours, trouble }: Forwarding, key: string): DriverCondition {
  const type = 'IpForwarding';
  if (!on)
    return {
      type,
      status: 'false',
      reason: 'OFF',
      message: `${key} is 0; the agent sets it to 1 with the first forward, and back with the last`,
    };
  if (ours)
    return {
      type,
      status: 'true',
      reason: 'TURNED_ON_BY_AGENT',
      message: `${key} was 0 and the agent set it to 1; until it goes back, only flows of forwards are forwarded. To forward other traffic too, set it to 1 in /etc/sysctl.d and restart the host`,
    };
  const doubt = trouble === undefined ? '' : `; whether the agent did it is unknown, because ${trouble}`;
  return { type, status: 'true', reason: 'ALREADY_ON', message: `${key} is 1 by the host's own doing${doubt}` };
}

/** Whether flows can be removed. `trouble`: why not. */
export function flowCondition(trouble: string | undefined): DriverCondition {
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
