import type { PlacedRelayed } from '../../planner/types.js';
import type { RelayedForward } from '../../relay/types.js';
import { wireForward } from '../../relay/wire-forward.js';
import type { Plan } from '../driver.js';
import type { RelayObserved } from './observe.js';
import type { Rendered } from './render.js';
import type { RelayStep, RemoveStep, SetStep } from './steps.js';

/** What turns `observed` into `rendered`. What goes, goes first: its listener may be another's now. */
export function diff({ relayed }: Rendered, observed: RelayObserved): Plan<RelayStep> {
  const removes: RemoveStep[] = [];
  const sets: SetStep[] = [];
  const wanted = new Set<string>();
  for (const forward of relayed) {
    wanted.add(forward.uid);
    if (isDue(forward, observed)) sets.push(setStep(forward));
  }
  for (const uid of observed.carried.keys()) if (!wanted.has(uid)) removes.push(removeStep(uid));
  return { steps: [...removes, ...sets] };
}

function isDue(forward: PlacedRelayed, { carried, failures, fresh }: RelayObserved): boolean {
  const { digest } = wireForward(forward);
  const row = carried.get(forward.uid);
  if (row?.digest === digest && row.dead.length === 0) return false;
  // What failed is tried again when everything was just read, not with each change of something else.
  return fresh || failures.get(forward.uid)?.digest !== digest;
}

const setStep = (forward: PlacedRelayed): SetStep => ({
  kind: 'relay-set',
  title: `relay: listen on ${listenText(forward)}`,
  forwards: [forward.key],
  forward,
});

const removeStep = (uid: string): RemoveStep => ({
  kind: 'relay-remove',
  title: `relay: stop listening for forward ${uid}`,
  forwards: [],
  uid,
});

/** `127.0.0.1:8080/tcp`, `*:53/tcp+udp on eth0`. */
function listenText({ listen }: RelayedForward): string {
  const { address, interface: name, ports, transports } = listen;
  const host = address === undefined ? '*' : address.family === 6 ? `[${address.text}]` : address.text;
  const range = ports.first === ports.last ? `${ports.first}` : `${ports.first}-${ports.last}`;
  return `${host}:${range}/${transports.join('+')}${name === undefined ? '' : ` on ${name}`}`;
}
