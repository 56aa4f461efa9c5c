import type { Listed } from '../planner/sorted-list.js';
import type { ReadEntry } from '../planner/types.js';

/** What a snapshot would take away from a gateway. */
export interface Removal {
  readonly active: number;
  readonly removed: number;
  /** More than max(10, 30 %) of the active forwards. */
  readonly mass: boolean;
}

/**
 * Counts the active forwards (readable, enabled, not expired) that a snapshot does away with: it no longer names them, or what it
 * says of them can no longer be read. One that an operator disabled or let expire is no accident and does not count.
 */
export function removalOf(before: Listed<ReadEntry>, after: { read(uid: string): ReadEntry | undefined }, now: number): Removal {
  let active = 0;
  let removed = 0;
  for (const entry of before) {
    if (entry.kind !== 'forward' || !entry.forward.spec.enabled) continue;
    if (entry.forward.spec.expires !== undefined && entry.forward.spec.expires <= now) continue;
    active++;
    if (after.read(entry.forward.uid)?.kind !== 'forward') removed++;
  }
  return { active, removed, mass: removed > Math.max(10, active * 0.3) };
}
