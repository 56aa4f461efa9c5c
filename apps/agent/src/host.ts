/** The host as the agent deals with it: driver, planner, facts. Put together here for `run` and `plan` alike. */
import type { ControlAddress } from './control-link/control-addresses.js';
import type { DesiredView } from './desired/types.js';
import { type ChosenDriver, chooseDriver, type DriverPreference } from './drivers/choose.js';
import { Planner } from './planner/planner.js';
import type { HostFacts, PlacedForward } from './planner/types.js';
import { ProcessExec } from './system/exec.js';
import { forwardKey } from './system/forward-key.js';
import { HostFactsReader } from './system/host-facts.js';
import { linkReader } from './system/links.js';
import { ProcSocketOwners } from './system/socket-owners.js';
import { socketReader } from './system/socket-reader.js';
import { WantedPorts } from './wanted-ports.js';

export interface Host extends ChosenDriver {
  /** A planner for what the driver can carry. `carried`: what it carries of a forward now, as far as is known. */
  planner(carried: (uid: string) => PlacedForward | undefined): Planner;
  facts(question: { readonly control: readonly ControlAddress[]; readonly view: DesiredView }): Promise<HostFacts>;
}

export async function openHost(options: {
  readonly preference: DriverPreference;
  readonly stateDir: string;
  readonly now: () => number;
  readonly monotonic: () => number;
}): Promise<Host> {
  const exec = new ProcessExec();
  const links = linkReader(exec);
  const chosen = await chooseDriver({ ...options, exec, links });
  const reader = new HostFactsReader({ links: chosen.links, owners: new ProcSocketOwners(), sockets: socketReader() });
  const ports = new WantedPorts();
  return {
    ...chosen,
    planner: (carried) => new Planner({ capabilities: chosen.driver.capabilities, keyOf: forwardKey, carried }),
    facts: ({ control, view }) => reader.read({ control, ports: ports.update(view.entries) }),
  };
}
