import type { OnChange } from '@gwctl/shared/domain/forward';
import { type Family, formatCidr, isNarrower } from '@gwctl/shared/domain/ip';
import type { PortRange } from '@gwctl/shared/domain/ports';
import type { FlowMatch, FlowTarget } from '../../system/conntrack.js';
import { type CarriedForward, type CarriedTarget, carriedForwards, placedAsCarried } from './carried.js';
import type { FamilyObserved } from './observe.js';
import type { FamilyRendered } from './render.js';
import type { FlowsStep, RulesStep } from './steps.js';

/**
 * Which existing flows contradict the rules as they will be: the kernel decides a flow's addresses once, so a UDP client that keeps
 * sending stays with the old target, or with none, for as long as it sends.
 */
export function flowChanges(rendered: FamilyRendered, observed: FamilyObserved, steps: readonly RulesStep[]): FlowsStep[] {
  // A forward whose rules stay as they are has nothing to do with it.
  const keys = new Set(steps.flatMap((s) => s.forwards));
  const before = carriedForwards(observed, keys);
  const { family } = rendered;
  const changes: FlowsStep[] = [];
  for (const key of keys) {
    const was = before.get(key);
    const placed = rendered.forwards.get(key);
    const now = placed && placedAsCarried(placed);
    if (was) changes.push(...(now ? changed(was, now, family) : removed({ ...was, was, family })));
    else if (now) changes.push(...added(now, now.protocols, family));
  }
  return changes;
}

/** A client's earlier packets made an entry without the forward's translation, which each further packet keeps alive. */
function added(now: CarriedForward, protocols: CarriedForward['protocols'], family: Family): FlowsStep[] {
  return protocols
    .filter((p) => p !== 'tcp')
    .map((p) => {
      const targets = now.targets.map((t) => targetOf(now, t));
      const [only] = targets;
      const notTo = targets.length === 1 && only ? only : targets;
      return step(now, p, 'that were there before the forward', { ...listenerOf(now, p, family), notTo });
    });
}

interface Removal {
  readonly was: CarriedForward;
  readonly targets: readonly CarriedTarget[];
  readonly protocols: CarriedForward['protocols'];
  readonly onChange: OnChange;
  readonly family: Family;
}

function removed({ was, targets, protocols, onChange, family }: Removal): FlowsStep[] {
  if (onChange === 'keep') return [];
  return protocols.flatMap((protocol) => {
    // A UDP flow has no end to wait for: without this it goes on for as long as the client sends.
    if (onChange === 'drain' && protocol === 'tcp') return [];
    const ending = onChange === 'drain' && protocol === 'all' ? 'udp' : protocol;
    return targets.map((t) => step(was, protocol, 'of the removed forward', wayTo(was, t, ending, family)));
  });
}

function changed(was: CarriedForward, now: CarriedForward, family: Family): FlowsStep[] {
  const { onChange } = now;
  const all = { was, targets: was.targets, protocols: was.protocols, onChange, family };
  if (was.address !== now.address || !was.ports !== !now.ports) return [...removed(all), ...added(now, now.protocols, family)];
  const left = was.protocols.filter((p) => !now.protocols.includes(p));
  const stayed = was.protocols.filter((p) => now.protocols.includes(p));
  const come = now.protocols.filter((p) => !was.protocols.includes(p));
  const steps = [...removed({ ...all, protocols: left }), ...added(now, come, family)];
  // Ports that went, and ports that came; those of both listeners go on with the targets that both have.
  for (const part of without(was, now)) steps.push(...removed({ ...all, was: part, targets: part.targets, protocols: stayed }));
  for (const part of without(now, was)) steps.push(...added(part, stayed, family));
  for (const part of within(was, now)) steps.push(...changedTargets(part, within(now, was)[0] ?? now, stayed, family));
  return steps;
}

/** Of a listener that stays as it is. */
function changedTargets(
  was: CarriedForward,
  now: CarriedForward,
  protocols: CarriedForward['protocols'],
  family: Family,
): FlowsStep[] {
  const { onChange } = now;
  const has = (targets: readonly CarriedTarget[], t: CarriedTarget) =>
    targets.some((n) => n.address === t.address && n.port === t.port);
  const gone = was.targets.filter((t) => !has(now.targets, t));
  const [dead, leaving] = [gone.filter((t) => has(now.down, t)), gone.filter((t) => !has(now.down, t))];
  const of = { was, protocols, onChange, family };
  const steps = removed({ ...of, targets: leaving });
  // What is down answers nobody: its flows had better begin anew.
  steps.push(...removed({ ...of, targets: dead, onChange: onChange === 'keep' ? 'keep' : 'cut' }));
  const kept = was.targets.filter((t) => !gone.includes(t));
  if (onChange === 'cut' && was.source !== now.source)
    for (const p of protocols)
      for (const t of kept) steps.push(step(was, p, 'with the old source address', wayTo(was, t, p, family)));
  // Whatever the policy: who is no longer allowed must not stay.
  if (isNarrower(now.allow, was.allow)) {
    const sourcesOutside = (now.allow ?? []).map(formatCidr);
    for (const p of protocols)
      for (const t of was.targets)
        steps.push(step(was, p, 'from sources no longer allowed', { ...wayTo(was, t, p, family), sourcesOutside }));
  }
  return steps;
}

/** The parts of `one` whose ports `other` has, and those that it has not: each with the targets' ports that belong to them. */
function within(one: CarriedForward, other: CarriedForward): CarriedForward[] {
  if (!one.ports || !other.ports) return [one];
  return part(one, Math.max(one.ports.first, other.ports.first), Math.min(one.ports.last, other.ports.last));
}

function without(one: CarriedForward, other: CarriedForward): CarriedForward[] {
  if (!one.ports || !other.ports) return [];
  const { first, last } = one.ports;
  return [...part(one, first, Math.min(last, other.ports.first - 1)), ...part(one, Math.max(first, other.ports.last + 1), last)];
}

function part(one: CarriedForward, first: number, last: number): CarriedForward[] {
  if (!one.ports || first > last) return [];
  const by = first - one.ports.first;
  const moved = (targets: readonly CarriedTarget[]) =>
    targets.map((t) => (t.port === undefined ? t : { ...t, port: t.port + by }));
  return [{ ...one, ports: { first, last } as PortRange, targets: moved(one.targets), down: moved(one.down) }];
}

type Protocol = CarriedForward['protocols'][number];

function listenerOf({ address, ports }: CarriedForward, protocol: Protocol, family: Family): FlowMatch {
  return {
    ...(family === 6 ? { family } : {}),
    protocol: protocol === 'all' ? 'any' : protocol,
    ...(address === undefined ? {} : { address }),
    ...(ports ? (ports.first === ports.last ? { port: ports.first } : { ports }) : {}),
  };
}

/** Flows that went from the listener to the target; naming both never touches anybody else's. */
const wayTo = (way: CarriedForward, target: CarriedTarget, protocol: Protocol, family: Family): FlowMatch => ({
  ...listenerOf(way, protocol, family),
  to: targetOf(way, target),
});

function targetOf({ ports }: CarriedForward, { address, port }: CarriedTarget): FlowTarget {
  if (port === undefined) return { address };
  if (!ports || ports.first === ports.last) return { address, port };
  return { address, ports: { first: port, last: port + ports.last - ports.first } };
}

const step = (way: CarriedForward, protocol: Protocol, what: string, match: FlowMatch): FlowsStep => ({
  kind: 'flows',
  title: `remove flows ${what}: ${protocol} to ${way.address ?? '*'}${way.ports ? `:${portText(way.ports)}` : ''}`,
  forwards: [way.key],
  match,
});

const portText = ({ first, last }: { readonly first: number; readonly last: number }): string =>
  first === last ? String(first) : `${first}-${last}`;
