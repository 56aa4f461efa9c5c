import type { TargetCounts } from '../../relay/engine.js';
import { targetKey } from '../../relay/engine.js';
import type { RelayedForward } from '../../relay/types.js';
import { wireForward } from '../../relay/wire-forward.js';
import type { PlacementFinding } from '../driver.js';
import type { RelayObserved } from './observe.js';
import type { Rendered } from './render.js';

/** Targets or listeners that a message names. */
const NAMED = 3;

/** Forwards that could not be carried as wanted, listeners that are not open, and targets that connections did not reach. */
export function findings({ relayed }: Rendered, observed: RelayObserved): readonly PlacementFinding[] {
  const { carried, failures } = observed;
  const found: PlacementFinding[] = [];
  for (const [uid, { digest, reason, message }] of failures) {
    const forward = relayed.get(uid);
    if (!forward || wireForward(forward).digest !== digest) continue;
    const condition = { type: 'Applied', status: 'false', reason, message } as const;
    found.push({ uid, condition, instead: carried.has(uid) ? 'older' : 'nothing' });
  }
  for (const [uid, { targets, dead }] of carried) {
    const forward = relayed.get(uid);
    if (forward && dead.length > 0) found.push({ uid, condition: deaf(dead) });
    const bad = forward ? unreachable(forward, targets) : [];
    if (bad.length > 0) found.push({ uid, condition: unreached(bad) });
  }
  return found;
}

/** Of those that it goes to now. */
function unreachable(forward: RelayedForward, targets: readonly TargetCounts[]): readonly TargetCounts[] {
  const bad = targets.filter((t) => t.health === 'unhealthy');
  if (bad.length === 0) return bad;
  const wanted = new Set(forward.targets.map(targetKey));
  return bad.filter((t) => wanted.has(`${t.address} ${t.port}`));
}

function unreached(bad: readonly TargetCounts[]): PlacementFinding['condition'] {
  const named = bad.slice(0, NAMED).map(({ address, port, trouble }) => {
    const host = address.includes(':') ? `[${address}]` : address;
    return `${host}:${port}${trouble === undefined ? '' : ` (${trouble})`}`;
  });
  return {
    type: 'TargetsReachable',
    status: 'false',
    reason: 'TARGET_UNREACHABLE',
    message: `connections did not reach ${named.join(', ')}${more(bad.length)}`,
  };
}

/** The relay took it, and still it does not listen everywhere. */
const deaf = (dead: readonly string[]): PlacementFinding['condition'] => ({
  type: 'Listening',
  status: 'false',
  reason: 'LISTENER_DEAD',
  message: `the relay does not listen on ${dead.slice(0, NAMED).join(', ')}${more(dead.length)} although it should`,
});

const more = (all: number): string => (all > NAMED ? ` and ${all - NAMED} more` : '');
