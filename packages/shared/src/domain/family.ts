/** Which family of addresses a forward is of. */
import type { Target, TrafficSpec } from './forward.js';
import type { Family } from './ip.js';

/** The family that a forward's targets have, where addresses say so: of several, the first. */
export function familyOfTargets(targets: readonly Target[]): Family | undefined {
  for (const t of targets) if (t.host.kind === 'ip') return t.host.address.family;
  return undefined;
}

/** The family of a forward: of its listener's address, else of its targets, else IPv4 (DNS targets behind a wildcard). */
export function familyOf(spec: Pick<TrafficSpec, 'listen' | 'targets'>): Family {
  return spec.listen.address?.family ?? familyOfTargets(spec.targets) ?? 4;
}
