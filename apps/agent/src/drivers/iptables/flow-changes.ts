import { formatCidr, isNarrower } from '@gwctl/shared/domain/ip';
import type { PlacedForward } from '../../planner/types.js';
import type { FlowMatch } from '../../system/conntrack.js';
import { type CarriedForward, carriedForwards, type Observed } from './observe.js';
import { listenPort, type Rendered, targetOf } from './render.js';
import type { FlowsStep, RulesStep } from './steps.js';

/**
 * Which existing flows contradict the rules as they will be. DATAPLANE knowledge behind it: the kernel decides a flow's addresses
 * once, so a UDP client that keeps sending stays with the old target, or with none, for as long as it sends.
 */
export function flowChanges(rendered: Rendered, observed: Observed, steps: readonly RulesStep[]): FlowsStep[] {
  // A forward whose rules stay as they are has nothing to do with it.
  const keys = new Set(steps.flatMap((s) => s.forwards));
  const before = carriedForwards(observed.tables, keys);
  const changing = [...keys].flatMap((key) => rendered.forwards.get(key) ?? []);
  return changes(before, new Map(changing.map((f) => [f.key, wantedForward(f)])), rendered);
}

function changes(before: ReadonlyMap<string, CarriedForward>, after: ReadonlyMap<string, Way>, rendered: Rendered): FlowsStep[] {
  const steps: FlowsStep[] = [];
  for (const [key, was] of before) {
    const now = after.get(key);
    if (!now) steps.push(...removed(was));
    else steps.push(...changed(was, now, rendered.forwards.get(key)));
  }
  for (const [key, now] of after) if (!before.has(key)) steps.push(...added(now));
  return steps;
}

/** What a forward looks like in {@link CarriedForward}'s terms, but for the text of its source rules. */
function wantedForward(f: PlacedForward): Omit<CarriedForward, 'source'> {
  const target = targetOf(f);
  return {
    key: f.key,
    protocol: f.listen.protocol === 'udp' ? 'udp' : 'tcp',
    ...(f.listen.address ? { address: f.listen.address.text } : {}),
    port: listenPort(f),
    target: target.address.text,
    targetPort: target.port,
    onChange: f.onChange,
    allow: f.allow,
  };
}

type Way = Omit<CarriedForward, 'source'>;

/** A client's earlier packets made an entry without the forward's translation, which each further packet keeps alive. */
function added(now: Way): FlowsStep[] {
  if (now.protocol !== 'udp') return [];
  return [step(now, 'that were there before the forward', { ...listenerOf(now), notTo: targetOfWay(now) })];
}

function removed(was: Way): FlowsStep[] {
  if (was.onChange === 'keep') return [];
  // A UDP flow has no end to wait for: without this it goes on for as long as the client sends.
  if (was.onChange === 'drain' && was.protocol === 'tcp') return [];
  return [step(was, 'of the removed forward', oldWay(was))];
}

function changed(was: Way & { readonly source: string }, now: Way, forward: PlacedForward | undefined): FlowsStep[] {
  const steps: FlowsStep[] = [];
  const sameListener = was.protocol === now.protocol && was.address === now.address && was.port === now.port;
  const sameTarget = was.target === now.target && was.targetPort === now.targetPort;
  const policy = { ...was, onChange: now.onChange };
  if (!sameListener) return [...removed(policy), ...added(now)];
  if (!sameTarget) steps.push(...removed(policy));
  else if (now.onChange === 'cut' && forward && sourceChanged(was.source, forward))
    steps.push(step(was, 'with the old source address', oldWay(was)));
  // Whatever the policy: who is no longer allowed must not stay.
  if (isNarrower(now.allow, was.allow))
    steps.push(step(was, 'from sources no longer allowed', { ...oldWay(was), sourcesOutside: now.allow.map(formatCidr) }));
  return steps;
}

function sourceChanged(source: string, { snat }: PlacedForward): boolean {
  if (snat.mode === 'address') return !source.includes(`-j SNAT --to-source ${snat.address.text} `);
  if (snat.mode === 'masquerade') return !source.includes(':snat" -j MASQUERADE');
  return source.includes(':snat"');
}

const listenerOf = (way: Way) => ({
  protocol: way.protocol,
  ...(way.address === undefined ? {} : { address: way.address }),
  port: way.port,
});

/** Flows that went from the listener to the target; naming both never touches anybody else's. */
const oldWay = (way: Way): FlowMatch => ({
  ...listenerOf(way),
  to: targetOfWay(way),
});

const targetOfWay = (way: Way) => ({ address: way.target, port: way.targetPort });

const step = (way: Way, what: string, match: FlowMatch): FlowsStep => ({
  kind: 'flows',
  title: `remove flows ${what}: ${way.protocol} to ${way.address ?? '*'}:${way.port}`,
  forwards: [way.key],
  match,
});
