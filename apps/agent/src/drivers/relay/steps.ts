import type { PlacedRelayed } from '../../planner/types.js';
import type { Step } from '../driver.js';

/** A forward that the relay is to carry, or to carry as it is now. Consecutive ones go over in batches. */
export interface SetStep extends Step {
  readonly kind: 'relay-set';
  readonly forward: PlacedRelayed;
}

/** A forward that the relay is to let go of. */
export interface RemoveStep extends Step {
  readonly kind: 'relay-remove';
  readonly uid: string;
}

export type RelayStep = SetStep | RemoveStep;
