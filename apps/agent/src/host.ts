/** The host as the agent deals with it: driver, planner, facts. Put together here for `run` and `plan` alike. */
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock } from './clock.js';
import type { ControlAddress } from './control-link/control-addresses.js';
import type { DesiredView } from './desired/types.js';
import { type ChosenDriver, chooseDriver, type DriverPreference } from './drivers/choose.js';
import type { RelayDriver } from './drivers/relay/driver.js';
import { openRelay } from './drivers/relay/open.js';
import { Planner } from './planner/planner.js';
import type { HostFacts, PlacedForward } from './planner/types.js';
import type { EnginePreference } from './relay/process/open-engine.js';
import { ProcessExec } from './system/exec.js';
import { forwardKey } from './system/forward-key.js';
import { HostFactsReader } from './system/host-facts.js';
import { linkReader } from './system/links.js';
import { ProcSocketOwners } from './system/socket-owners.js';
import { socketReader } from './system/socket-reader.js';
import { WantedPorts } from './wanted-ports.js';

export interface Host extends ChosenDriver {
  /** Of this state directory, whether the driver uses it or not. */
  readonly relay: RelayDriver;
  /** A planner for what the driver can carry. `carried`: what it carries of a forward now, as far as is known. */
  planner(carried: (uid: string) => PlacedForward | undefined): Planner;
  facts(question: { readonly control: readonly ControlAddress[]; readonly view: DesiredView }): Promise<HostFacts>;
}

export async function openHost(
  options: Clock & {
    readonly preference: DriverPreference;
    readonly stateDir: string;
    readonly log: Logger;
    /** Of the relay; default: native where it works. */
    readonly relayEngine?: EnginePreference | undefined;
  },
): Promise<Host> {
  const exec = new ProcessExec();
  const links = linkReader(exec);
  const { stateDir, log, relayEngine: engine } = options;
  const relay = openRelay({ stateDir, exec, clock: options, log, engine });
  const chosen = await chooseDriver({ ...options, exec, links, relay });
  const own = chosen.ownProcesses ? { own: chosen.ownProcesses } : {};
  const reader = new HostFactsReader({ links: chosen.links, owners: new ProcSocketOwners(), sockets: socketReader(), ...own });
  const ports = new WantedPorts();
  return {
    ...chosen,
    relay,
    planner: (carried) => new Planner({ capabilities: chosen.carriers, keyOf: forwardKey, carried }),
    facts: ({ control, view }) => reader.read({ control, ports: ports.update(view.entries) }),
  };
}
