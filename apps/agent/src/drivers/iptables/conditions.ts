import type { DriverCondition } from '../driver.js';
import { flowCondition, forwardingCondition } from '../host-conditions.js';
import type { Observed } from './observe.js';

/** What is worth telling about the gateway: whose doing forwarding is, and whether flows can be removed. */
export function conditions({ forwarding, flowTrouble }: Observed): DriverCondition[] {
  return [forwardingCondition(forwarding), flowCondition(flowTrouble)];
}
