import type { DriftCauseWord } from '@gwctl/shared/domain/status';
import { wireForward } from '../../relay/wire-forward.js';
import type { DriftFound } from '../driver.js';
import type { RelayObserved } from './observe.js';
import type { Rendered } from './render.js';

/** Compares what the relay says it carries with what it was told to. What it refused is no drift: the placement says so. */
export function drift({ relayed }: Rendered, observed: RelayObserved): readonly DriftFound[] {
  const { carried, failures, state, now } = observed;
  const found = (forwards: readonly string[], cause: DriftCauseWord, object: string, message: string): DriftFound => ({
    forwards,
    drift: { cause, object, message, detected: now },
  });
  if (!state.hello) {
    const all = relayed.map((f) => f.uid);
    if (all.length === 0) return [];
    return [found(all, 'missing', 'relay/process', 'the relay is gone, and with it every connection that went through it')];
  }
  const drifts: DriftFound[] = [];
  const applied = new Set<string>();
  for (const forward of relayed) {
    const { uid } = forward;
    const { digest } = wireForward(forward);
    applied.add(uid);
    if (failures.get(uid)?.digest === digest) continue;
    const row = carried.get(uid);
    if (!row) drifts.push(found([uid], 'missing', `relay/${uid}`, 'the relay does not carry it any more'));
    else if (row.digest !== digest)
      drifts.push(found([uid], 'altered', `relay/${uid}`, 'the relay carries it otherwise than it was told to'));
    for (const listener of row?.dead ?? [])
      drifts.push(found([uid], 'missing', `relay/${listener}`, `the relay does not listen on ${listener} any more`));
  }
  for (const uid of carried.keys())
    if (!applied.has(uid)) drifts.push(found([], 'foreign', `relay/${uid}`, 'the relay carries a forward that nobody wants'));
  return drifts;
}
