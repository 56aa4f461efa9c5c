import { listenersConflict, transports } from '@gwctl/shared/domain/forward';
import { SortedList } from '../../planner/sorted-list.js';
import type { HostDesired, PlacedForward, PlacedRelayed } from '../../planner/types.js';

/**
 * Of what the kernel carried and the relay does not carry yet, what it may go on with: a forward that was also moved to another listener
 * must not keep the old one from the forward that has it now.
 */
export function mayStay(carried: readonly PlacedForward[], { forwards, relayed }: HostDesired): readonly PlacedForward[] {
  if (carried.length === 0) return carried;
  const moving = SortedList.from(relayed);
  return carried.filter((old) => {
    const now = moving.get(old.uid);
    // Listeners that are wanted do not conflict: only one that nobody wants any more may.
    if (now && sameListener(old, now)) return true;
    const conflicts = ({ uid, listen }: { readonly uid: string; readonly listen: Listen }) =>
      uid !== old.uid && listenersConflict(listener(listen), listener(old.listen));
    return !forwards.some(conflicts) && !relayed.some((r) => conflicts({ uid: r.uid, listen: listenOf(r) }));
  });
}

type Listen = PlacedForward['listen'];

const listener = (listen: Listen) => ({ ...listen, announce: false });

const listenOf = ({ listen: { address, transports: of, ports } }: PlacedRelayed): Listen => ({
  ...(address ? { address } : {}),
  protocol: of.length > 1 ? 'tcp+udp' : (of[0] ?? 'tcp'),
  ports,
});

function sameListener({ listen: a }: PlacedForward, { listen: b }: PlacedRelayed): boolean {
  return (
    a.address?.text === b.address?.text &&
    a.ports?.first === b.ports.first &&
    a.ports.last === b.ports.last &&
    transports(a.protocol).join() === b.transports.join()
  );
}
