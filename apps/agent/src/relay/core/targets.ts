import type { Affinity } from '@gwctl/shared/domain/forward';
import { ring } from '../../planner/ring.js';
import { type TargetCounts, targetKey } from '../engine.js';
import type { RelayTarget } from '../types.js';

/** Milliseconds for which a target is left out after a connect to it failed. */
export const LEFT_OUT = 10_000;
/** Shares that all clients are divided into where a client is to keep its target. */
export const SLOTS = 256;

export interface Turn {
  /** Milliseconds of a clock that only goes on. */
  readonly now: number;
  /** Hash of the client's address (see {@link ./address.js hashAddress}). */
  readonly client: number;
  /** The target that was tried already, for this connection. */
  readonly without?: RelayTarget;
}

export type TargetHealth = Pick<TargetCounts, 'health' | 'trouble' | 'rttUs'>;

interface State {
  readonly target: RelayTarget;
  /** Where it stands in the round: the highest is next. */
  round: number;
  health: TargetHealth;
  /** Left out until then; 0: in rotation. */
  outUntil: number;
}

/**
 * The targets of one forward: whose turn it is, and what connecting showed of each. In proportion to the weights and evenly mixed (the
 * smooth round of nginx: 5:1:1 gives a a b a c a a), or by the client's address. A target to which a connect failed is left out for
 * {@link LEFT_OUT}, then one connection tries it while the others still go elsewhere; if all are left out, all are tried.
 */
export class Targets {
  readonly #states: readonly State[];
  readonly #byKey: ReadonlyMap<string, State>;
  readonly #affinity: Affinity;
  /** How many were left out and not yet found well: with none, the common case, nobody needs a look at each. */
  #out = 0;
  /** Which of `states` has each slot, where all of them may be picked. */
  #slots: readonly number[] | undefined;
  /** The same for the last few sets of targets that were not all. */
  readonly #partial = new Map<string, readonly number[]>();

  /** `before`: of the forward as it was; a target that stays keeps its place in the round and its health. */
  constructor(forward: { readonly targets: readonly RelayTarget[]; readonly affinity: Affinity }, before?: Targets) {
    this.#affinity = forward.affinity;
    const known = before ? before.#byKey : new Map<string, State>();
    this.#states = forward.targets.map((target) => {
      const old = known.get(targetKey(target));
      return { target, round: old?.round ?? 0, health: old?.health ?? { health: 'unknown' }, outUntil: old?.outUntil ?? 0 };
    });
    this.#byKey = new Map(this.#states.map((s) => [targetKey(s.target), s]));
    this.#out = this.#states.filter((s) => s.outUntil !== 0).length;
  }

  /** Undefined only where there is no other than the one that was tried. */
  pick({ now, client, without }: Turn): RelayTarget | undefined {
    const all = this.#states;
    if (all.length === 1 && !without) return all[0]?.target;
    const candidates = !without && this.#out === 0 ? all : this.#candidates(now, without);
    const state = this.#affinity === 'client' ? this.#ofClient(candidates, client) : nextInRound(candidates);
    // From now on it is one connection that tries it; what it finds puts the target back in, or leaves it out again.
    if (state && state.outUntil !== 0 && state.outUntil <= now) this.#leaveOut(state, now);
    return state?.target;
  }

  /** A connect succeeded; `rttUs`: where it could be measured. Gives whether the target's health changed. */
  succeeded(target: RelayTarget, rttUs?: number): boolean {
    const state = this.#byKey.get(targetKey(target));
    if (!state) return false;
    const changed = state.health.health !== 'healthy';
    const known = rttUs ?? state.health.rttUs;
    state.health = { health: 'healthy', ...(known === undefined ? {} : { rttUs: known }) };
    if (state.outUntil !== 0) this.#out -= 1;
    state.outUntil = 0;
    return changed;
  }

  /** A connect failed, `trouble` says why. Gives whether the target's health changed. */
  failed(target: RelayTarget, now: number, trouble: string): boolean {
    const state = this.#byKey.get(targetKey(target));
    if (!state) return false;
    const changed = state.health.health !== 'unhealthy';
    state.health = { health: 'unhealthy', trouble, ...(state.health.rttUs === undefined ? {} : { rttUs: state.health.rttUs }) };
    this.#leaveOut(state, now);
    return changed;
  }

  health(target: RelayTarget): TargetHealth {
    return this.#byKey.get(targetKey(target))?.health ?? { health: 'unknown' };
  }

  #leaveOut(state: State, now: number): void {
    if (state.outUntil === 0) this.#out += 1;
    state.outUntil = now + LEFT_OUT;
  }

  #candidates(now: number, without: RelayTarget | undefined): readonly State[] {
    const key = without && targetKey(without);
    const others = key === undefined ? this.#states : this.#states.filter((s) => targetKey(s.target) !== key);
    const fit = others.filter((s) => s.outUntil <= now);
    return fit.length > 0 ? fit : others;
  }

  #ofClient(candidates: readonly State[], client: number): State | undefined {
    if (candidates.length < 2) return candidates[0];
    const slot = client % SLOTS;
    if (candidates.length === this.#states.length) {
      this.#slots ??= ring(targetsOf(candidates), SLOTS);
      return candidates[this.#slots[slot] ?? 0];
    }
    const key = candidates.map((s) => targetKey(s.target)).join('|');
    let slots = this.#partial.get(key);
    if (!slots) {
      if (this.#partial.size >= 16) this.#partial.clear();
      slots = ring(targetsOf(candidates), SLOTS);
      this.#partial.set(key, slots);
    }
    return candidates[slots[slot] ?? 0];
  }
}

const targetsOf = (states: readonly State[]): readonly RelayTarget[] => states.map((s) => s.target);

function nextInRound(candidates: readonly State[]): State | undefined {
  let best: State | undefined;
  let total = 0;
  for (const state of candidates) {
    state.round += state.target.weight;
    total += state.target.weight;
    if (!best || state.round > best.round) best = state;
  }
  if (best) best.round -= total;
  return best;
}
