import { formatCidr, isNarrower } from '@gwctl/shared/domain/ip';
import type { PortRange } from '@gwctl/shared/domain/ports';
import type { FlowMatch, FlowTarget } from '../../system/conntrack.js';
import { type Carried, type CarriedTarget, carriedIn, carriedOf, listenerKind } from './carried.js';
import { ownerOf } from './compare.js';
import type { Part } from './elements.js';
import type { Observed } from './observe.js';
import { changedParts, type Rendered } from './render.js';
import { FAMILIES } from './sets.js';
import type { FlowsStep } from './steps.js';

type Pair = { readonly was?: Carried | undefined; readonly now?: Carried | undefined };

/**
 * Which existing flows contradict the rules as they will be: the kernel decides a flow's addresses once, so a UDP client that keeps
 * sending stays with the old target, or with none, for as long as it sends.
 */
export function flowChanges(rendered: Rendered, observed: Observed): FlowsStep[] {
  const steps: FlowsStep[] = [];
  for (const { was, now } of pairs(rendered, observed).values()) {
    if (was && now) steps.push(...changed(was, now));
    else if (was) steps.push(...removed(was, was.targets));
    else if (now) steps.push(...added(now));
  }
  return steps;
}

/** What was and what will be, of those forwards only that may differ. */
function pairs(rendered: Rendered, observed: Observed): ReadonlyMap<string, Pair> {
  const found = new Map<string, Pair>();
  const { base, tables } = observed;
  const there = tables[4] ?? tables[6];
  for (const { was, now } of there ? changedParts(base.forwardParts, rendered.forwardParts) : []) {
    for (const part of [was, now]) {
      if (!part || !tables[part.family]) continue;
      const before = was?.forward && was.key === part.key && tables[was.family] ? carriedOf(was.forward) : undefined;
      const after = now?.forward && now.key === part.key ? carriedOf(now.forward) : undefined;
      found.set(part.key, { was: before, now: after });
    }
  }
  const wanted = once(() => byKey(rendered));
  const based = once(() => byKey(base));
  for (const family of FAMILIES) {
    const table = tables[family];
    // Without the table, whoever sent meanwhile has a flow without translation.
    if (!table) {
      if (rendered.counts[family] === 0) continue;
      for (const { forward, key, family: of } of rendered.forwardParts)
        if (of === family && forward && forward.listen.protocol !== 'tcp') found.set(key, { now: carriedOf(forward) });
      continue;
    }
    const told = once(() => carriedIn(family, table));
    for (const [set, entries] of table.patch) {
      if (listenerKind(set) === undefined) continue;
      for (const { is, was } of entries.values()) {
        const key = ownerOf(is) ?? ownerOf(was);
        if (key === undefined) continue;
        const forward = wanted().get(key)?.forward;
        const before = told().get(key);
        const known = based().get(key)?.forward;
        found.set(key, {
          was: before && known ? { ...carriedOf(known), targets: before.targets } : before,
          now: forward && carriedOf(forward),
        });
      }
    }
  }
  return found;
}

const byKey = ({ forwardParts }: Rendered): ReadonlyMap<string, Part> => new Map(forwardParts.map((p) => [p.key, p]));

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** A client's earlier packets made an entry without the forward's translation, which each further packet keeps alive. */
function added(now: Carried, pieces: readonly Piece[] = [now.ports]): FlowsStep[] {
  if (now.protocol === 'tcp') return [];
  return pieces.flatMap((piece) => {
    const [only, ...others] = now.targets.map((t) => targetOf(now, t, piece));
    if (!only) return [];
    const match = { ...listenerOf(now, 'udp', piece), notTo: others.length === 0 ? only : [only, ...others] };
    return [step(now, 'that were there before the forward', match)];
  });
}

/** Flows to a target that a forward no longer sends to. `dead`: nothing can come of them any more. */
function removed(was: Carried, targets: readonly CarriedTarget[], options: { piece?: Piece; dead?: boolean } = {}): FlowsStep[] {
  const { piece = was.ports, dead = false } = options;
  const cut = was.onChange === 'cut' || (dead && was.onChange === 'drain');
  return targets.flatMap((target) =>
    transportsOf(was, cut).flatMap((protocol) => {
      // A TCP flow ends by itself; UDP has no end to wait for and goes on for as long as the client sends.
      const goes = cut || (protocol === 'udp' && was.onChange === 'drain');
      return goes ? [step(was, 'of the removed forward', way(was, protocol, target, piece))] : [];
    }),
  );
}

function changed(was: Carried, now: Carried): FlowsStep[] {
  const policy = { ...was, onChange: now.onChange };
  const whole = was.protocol === 'all' || now.protocol === 'all';
  if (was.address !== now.address || (whole && was.protocol !== now.protocol))
    return [...removed(policy, was.targets), ...added(now)];
  const { inside, outside } = split(was.ports, now.ports);
  const steps = outside.flatMap((piece) => removed(policy, was.targets, { piece }));
  if (whole || inside) for (const protocol of singles(was)) steps.push(...changedPiece(policy, now, protocol, inside));
  if (singles(now).includes('udp')) {
    const before = singles(was).includes('udp');
    if (!before) steps.push(...added(now));
    else if (!whole) steps.push(...added(now, split(now.ports, was.ports).outside));
  }
  return steps;
}

/** Of ports that are listened on before and after, one transport: undefined for a whole address. */
function changedPiece(was: Carried, now: Carried, protocol: Carried['protocol'], piece: Piece): FlowsStep[] {
  const one = { ...was, protocol };
  const heard = singles(now).includes(protocol);
  const steps: FlowsStep[] = [];
  for (const target of was.targets) {
    const stays = heard && now.targets.some((n) => n.address === target.address && distance(now, n) === distance(was, target));
    const dead = now.down.some((d) => d.address === target.address && distance(now, d) === distance(was, target));
    if (!stays) steps.push(...removed(one, [target], { piece, dead }));
    else if (now.onChange === 'cut' && was.source !== now.source)
      for (const p of transportsOf(one, true)) steps.push(step(was, 'with the old source address', way(was, p, target, piece)));
    // Whatever the policy: who is no longer allowed must not stay.
    if (!heard || !now.allow || !isNarrower(now.allow, was.allow)) continue;
    const sourcesOutside = now.allow.map(formatCidr);
    for (const p of transportsOf(one, true))
      steps.push(step(was, 'from sources no longer allowed', { ...way(was, p, target, piece), sourcesOutside }));
  }
  return steps;
}

/** Some of a listener's ports; undefined: a whole address. */
type Piece = PortRange | undefined;

const singles = ({ protocol }: Carried): readonly Carried['protocol'][] => (protocol === 'tcp+udp' ? ['tcp', 'udp'] : [protocol]);

const distance = ({ ports }: Carried, { port }: CarriedTarget): number => (port ?? 0) - (ports?.first ?? 0);

/** The part of `ports` within `other`, and those without. */
function split(ports: Piece, other: Piece): { readonly inside: Piece; readonly outside: readonly PortRange[] } {
  if (!ports || !other) return { inside: undefined, outside: [] };
  const [first, last] = [Math.max(ports.first, other.first), Math.min(ports.last, other.last)];
  if (first > last) return { inside: undefined, outside: [ports] };
  const outside = [
    { first: ports.first, last: first - 1 },
    { first: last + 1, last: ports.last },
  ];
  return { inside: { first, last }, outside: outside.filter((p) => p.first <= p.last) };
}

/** Of a whole address, everything at once where all of it goes; else only what has no end of its own. */
function transportsOf({ protocol }: Carried, everything: boolean): readonly FlowMatch['protocol'][] {
  if (protocol === 'all') return everything ? ['any'] : ['udp'];
  return protocol === 'tcp+udp' ? ['tcp', 'udp'] : [protocol];
}

function listenerOf({ family, address }: Carried, protocol: FlowMatch['protocol'], piece: Piece): FlowMatch {
  return {
    ...(family === 6 ? { family } : {}),
    protocol,
    ...(address === undefined ? {} : { address }),
    ...(piece === undefined ? {} : piece.first === piece.last ? { port: piece.first } : { ports: piece }),
  };
}

/** Where flows to these ports of the listener really go. */
function targetOf(one: Carried, target: CarriedTarget, piece: Piece): FlowTarget {
  const { address } = target;
  if (piece === undefined) return { address };
  const first = piece.first + distance(one, target);
  if (piece.first === piece.last) return { address, port: first };
  return { address, ports: { first, last: first + piece.last - piece.first } };
}

/** Flows that went from the listener to the target; naming both never touches anybody else's. */
const way = (one: Carried, protocol: FlowMatch['protocol'], target: CarriedTarget, piece: Piece): FlowMatch => ({
  ...listenerOf(one, protocol, piece),
  to: targetOf(one, target, piece),
});

function step(one: Carried, what: string, match: FlowMatch): FlowsStep {
  const { ports } = one;
  const port = ports === undefined ? '' : `:${ports.first}${ports.last === ports.first ? '' : `-${ports.last}`}`;
  const title = `remove flows ${what}: ${match.protocol} to ${one.address ?? '*'}${port}`;
  return { kind: 'flows', title, forwards: [one.key], match };
}
