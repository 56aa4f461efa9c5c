import type { Carried, PlacementResource } from '../resources/placement.js';

/** How one placement stands towards what is wanted. */
export type Standing = 'done' | 'refused' | 'waiting';

export interface Judgement {
  /** `nowhere`: no gateway carries it, so no agent will ever speak of it. */
  readonly outcome: 'done' | 'refused' | 'partly' | 'waiting' | 'nowhere';
  readonly done: readonly PlacementResource[];
  readonly refused: readonly PlacementResource[];
  readonly waiting: readonly PlacementResource[];
}

/**
 * Only the agent's word about this very generation counts: an older one speaks of another wish, UNKNOWN is nobody's word, and
 * DEGRADED may still get well.
 */
export function standingOf(placement: PlacementResource, generation: number, enabled: boolean): Standing {
  if (placement.observedGeneration < generation || placement.state === 'UNKNOWN') return 'waiting';
  if (placement.state === 'REJECTED' || placement.state === 'EXPIRED') return 'refused';
  return placement.state === (enabled ? 'ACTIVE' : 'DISABLED') ? 'done' : 'waiting';
}

/** How a forward or an egress stands on all of its gateways. `generation`: the one that was asked for; a later one supersedes it. */
export function judge({ metadata, spec, status: { placements } }: Carried, generation: number): Judgement {
  const wanted = Math.max(generation, metadata.generation ?? 0);
  const of = (standing: Standing) => placements.filter((p) => standingOf(p, wanted, spec.enabled) === standing);
  const [done, refused, waiting] = [of('done'), of('refused'), of('waiting')];
  const outcome =
    placements.length === 0
      ? 'nowhere'
      : waiting.length > 0
        ? 'waiting'
        : refused.length === 0
          ? 'done'
          : done.length === 0
            ? 'refused'
            : 'partly';
  return { outcome, done, refused, waiting };
}
