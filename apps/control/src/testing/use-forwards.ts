import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import type { TestControl } from './control.js';
import type { ForwardInit } from './requests.js';
import { useGateways } from './use-gateways.js';

const TABLES = ['forwards', 'placements', 'listeners', 'changes', 'audit_entries', 'request_ids'];

/** {@link useGateways} for the specs of forwards, with how to make one. */
export function useForwards(take: (both: { readonly control: TestControl; readonly gateway: string }) => void) {
  let control: TestControl;
  const of = useGateways((both) => {
    control = both.control;
    take(both);
  }, TABLES);
  return {
    ...of,
    create: (forward: ForwardInit, more: object = {}) => control.call(ForwardService.method.createForward, { forward, ...more }),
  };
}
