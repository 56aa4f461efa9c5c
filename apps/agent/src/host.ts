/** The host as the agent deals with it: driver, planner, facts. Put together here for `run` and `plan` alike. */
import { transports } from '@gwctl/shared/domain/forward';
import type { ControlAddress } from './control-link/control-addresses.js';
import type { DesiredView } from './desired/types.js';
import { type ChosenDriver, chooseDriver, type DriverPreference } from './drivers/choose.js';
import { planForwards } from './planner/plan.js';
import type { HostFacts } from './planner/types.js';
import type { PlanForwards } from './reconciler/judge.js';
import { ProcessExec } from './system/exec.js';
import { forwardKey } from './system/forward-key.js';
import { HostFactsReader } from './system/host-facts.js';
import { linkReader } from './system/links.js';
import { ProcSocketOwners } from './system/socket-owners.js';
import { socketReader } from './system/socket-reader.js';

export interface Host extends ChosenDriver {
  readonly plan: PlanForwards;
  facts(question: { readonly control: readonly ControlAddress[]; readonly view: DesiredView }): Promise<HostFacts>;
}

export async function openHost(options: {
  readonly preference: DriverPreference;
  readonly stateDir: string;
  readonly now: () => number;
}): Promise<Host> {
  const exec = new ProcessExec();
  const links = linkReader(exec);
  const chosen = await chooseDriver({ ...options, exec, links });
  const reader = new HostFactsReader({ links, owners: new ProcSocketOwners(), sockets: socketReader() });
  const { capabilities } = chosen.driver;
  return {
    ...chosen,
    plan: (desired, facts, now) => planForwards({ desired, facts, now, capabilities, keyOf: forwardKey }),
    facts: ({ control, view }) => reader.read({ control, ports: portsOf(view) }),
  };
}

/** The ports that forwards want, by transport protocol. */
function portsOf(view: DesiredView): { readonly tcp: ReadonlySet<number>; readonly udp: ReadonlySet<number> } {
  const ports = { tcp: new Set<number>(), udp: new Set<number>() };
  for (const entry of view.entries) {
    if (entry.kind !== 'forward') continue;
    const { ports: range, protocol } = entry.forward.spec.listen;
    if (!range) continue;
    for (const transport of transports(protocol))
      for (let port = range.first; port <= range.last; port++) ports[transport].add(port);
  }
  return ports;
}
