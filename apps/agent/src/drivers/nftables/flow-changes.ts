import { formatCidr, isNarrower } from '@gwctl/shared/domain/ip';
import type { PlacedForward } from '../../planner/types.js';
import type { FlowMatch } from '../../system/conntrack.js';
import { FLOW_KINDS, KINDS, type SetName } from './layout.js';
import { type CarriedForward, carriedForwards, type ObservedTable } from './observe.js';
import { allowOf, listenPort, type Rendered, targetOf } from './render.js';
import type { FlowsStep, TableStep } from './steps.js';

/**
 * Which existing flows contradict the rules as they will be: the kernel decides a flow's addresses once, so a UDP client that keeps
 * sending stays with the old target, or with none, for as long as it sends.
 */
export function flowChanges(rendered: Rendered, table: ObservedTable | undefined, steps: readonly TableStep[]): FlowsStep[] {
  const untouched = new Set<string>();
  const touched = touchedForwards(rendered, steps);
  const before = carriedForwards(table, (kind, at, suffix) => {
    const wanted = rendered.sets.get(`to-${kind}`)?.get(at);
    const [key] = wanted?.forwards ?? [];
    if (wanted?.suffix !== suffix || key === undefined || !touched || touched.has(key)) return true;
    untouched.add(key);
    return false;
  });
  const changes: FlowsStep[] = [];
  for (const [key, was] of before) {
    const forward = rendered.forwards.get(key);
    changes.push(...(forward ? changed(was, wantedForward(forward)) : removed(was)));
  }
  for (const [key, forward] of rendered.forwards)
    if (!before.has(key) && !untouched.has(key)) changes.push(...added(wantedForward(forward)));
  return changes;
}

/** Keys of the forwards that have changed elements, so that thousands of others need no closer look; undefined: maybe all. */
function touchedForwards(rendered: Rendered, steps: readonly TableStep[]): ReadonlySet<string> | undefined {
  const touched = new Set<string>();
  const add = (set: SetName, key: string) => {
    for (const forward of rendered.sets.get(set)?.get(key)?.forwards ?? []) touched.add(forward);
  };
  for (const step of steps) {
    if (step.kind === 'rebuild') return undefined;
    if (step.kind !== 'elements') continue;
    for (const forward of step.forwards) touched.add(forward);
    // What was taken from a forward that stays: a network of its allow-list, or its source address.
    for (const kind of KINDS)
      if (step.set === `allowed-${kind}`) for (const key of step.removed) add(`to-${kind}`, key.slice(0, key.lastIndexOf(' . ')));
    for (const kind of FLOW_KINDS)
      if (step.set === `kept-${kind}` || step.set === `fixed-${kind}`) for (const key of step.removed) add(`own-${kind}`, key);
  }
  return touched;
}

function wantedForward(f: PlacedForward): CarriedForward {
  const target = targetOf(f);
  return {
    key: f.key,
    protocol: f.listen.protocol === 'udp' ? 'udp' : 'tcp',
    ...(f.listen.address ? { address: f.listen.address.text } : {}),
    port: listenPort(f),
    target: target.address.text,
    targetPort: target.port,
    onChange: f.onChange,
    allow: allowOf(f),
    source: f.snat.mode === 'address' ? f.snat.address.text : f.snat.mode,
  };
}

/** A client's earlier packets made an entry without the forward's translation, which each further packet keeps alive. */
function added(now: CarriedForward): FlowsStep[] {
  if (now.protocol !== 'udp') return [];
  return [step(now, 'that were there before the forward', { ...listenerOf(now), notTo: targetOfWay(now) })];
}

function removed(was: CarriedForward): FlowsStep[] {
  if (was.onChange === 'keep') return [];
  // A UDP flow has no end to wait for: without this it goes on for as long as the client sends.
  if (was.onChange === 'drain' && was.protocol === 'tcp') return [];
  return [step(was, 'of the removed forward', oldWay(was))];
}

function changed(was: CarriedForward, now: CarriedForward): FlowsStep[] {
  const steps: FlowsStep[] = [];
  const sameListener = was.protocol === now.protocol && was.address === now.address && was.port === now.port;
  const sameTarget = was.target === now.target && was.targetPort === now.targetPort;
  const policy = { ...was, onChange: now.onChange };
  if (!sameListener) return [...removed(policy), ...added(now)];
  if (!sameTarget) steps.push(...removed(policy));
  else if (now.onChange === 'cut' && was.source !== now.source) steps.push(step(was, 'with the old source address', oldWay(was)));
  // Whatever the policy: who is no longer allowed must not stay.
  if (isNarrower(now.allow, was.allow))
    steps.push(step(was, 'from sources no longer allowed', { ...oldWay(was), sourcesOutside: now.allow.map(formatCidr) }));
  return steps;
}

const listenerOf = (way: CarriedForward) => ({
  protocol: way.protocol,
  ...(way.address === undefined ? {} : { address: way.address }),
  port: way.port,
});

/** Flows that went from the listener to the target; naming both never touches anybody else's. */
const oldWay = (way: CarriedForward): FlowMatch => ({ ...listenerOf(way), to: targetOfWay(way) });

const targetOfWay = (way: CarriedForward) => ({ address: way.target, port: way.targetPort });

const step = (way: CarriedForward, what: string, match: FlowMatch): FlowsStep => ({
  kind: 'flows',
  title: `remove flows ${what}: ${way.protocol} to ${way.address ?? '*'}:${way.port}`,
  forwards: [way.key],
  match,
});
