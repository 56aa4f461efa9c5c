import { SortedList } from '../../planner/sorted-list.js';
import type { HostDesired, PlacedRelayed } from '../../planner/types.js';

/** What the relay is to carry, in order of uid. */
export interface Rendered {
  readonly relayed: SortedList<PlacedRelayed>;
}

/** The planner says it all; there is nothing to translate. */
export function render({ relayed }: HostDesired, previous?: Rendered): Rendered {
  const list = SortedList.from(relayed);
  return previous?.relayed === list ? previous : { relayed: list };
}
