import { hashText } from '@gwctl/shared/hash/even-hash';
import type { PlacedTarget } from './types.js';

/**
 * Which target has each of `slots` equal shares of all clients: a client's address is hashed to a slot, by the kernel, and a slot
 * belongs to the target that scores highest for it (weighted rendezvous hashing: Schindelhauer and Schomaker 2005). When a target comes
 * or goes, only the slots that it wins or held change hands: all other clients stay where they are. Gives the index into `targets`.
 */
export function ring(targets: readonly PlacedTarget[], slots: number): readonly number[] {
  const names = targets.map((t) => `${t.address.text}|${t.port ?? 0}`);
  return Array.from({ length: slots }, (_, slot) => {
    let best = 0;
    let bestScore = Number.NEGATIVE_INFINITY;
    targets.forEach(({ weight }, i) => {
      // In (0, 1), so that the logarithm is finite and below 0.
      const uniform = (hashText(`${slot}|${names[i]}`) + 0.5) / 2 ** 32;
      const score = -weight / Math.log(uniform);
      if (score <= bestScore) return;
      best = i;
      bestScore = score;
    });
    return best;
  });
}
