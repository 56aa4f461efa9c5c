/** Forwards as far as their change matters to existing flows: from what was placed, or from what the elements of a table tell. */
import type { OnChange, Protocol } from '@gwctl/shared/domain/forward';
import { type Cidr, type Family, parseCidr } from '@gwctl/shared/domain/ip';
import type { PortRange } from '@gwctl/shared/domain/ports';
import type { PlacedForward, PlacedTarget } from '../../planner/types.js';
import { ownerOf } from './compare.js';
import { allowOf } from './elements.js';
import type { ObservedTable, Patches } from './observe.js';
import { KINDS, type Kind, type PortPlace, placeOf, type SetName, type SetSpec, setOf } from './sets.js';

export interface CarriedTarget {
  readonly address: string;
  /** What the listener's first port goes to; undefined for protocol `all`. */
  readonly port?: number;
}

export interface Carried {
  readonly key: string;
  readonly family: Family;
  readonly protocol: Protocol;
  /** Undefined: every address of the gateway. */
  readonly address?: string;
  /** Undefined for protocol `all`. */
  readonly ports?: PortRange;
  readonly targets: readonly CarriedTarget[];
  /** Those that do not answer, and are out of rotation for that. */
  readonly down: readonly CarriedTarget[];
  readonly onChange: OnChange;
  /** Undefined: anyone. */
  readonly allow?: readonly Cidr[];
  /** The source address that targets see: `masquerade`, `none`, or a fixed one. */
  readonly source: string;
}

export function carriedOf(f: PlacedForward): Carried {
  const allow = allowOf(f);
  return {
    key: f.key,
    family: f.family,
    protocol: f.listen.protocol,
    ...(f.listen.address ? { address: f.listen.address.text } : {}),
    ...(f.listen.ports ? { ports: f.listen.ports } : {}),
    targets: f.targets.map(carriedTarget),
    down: (f.down ?? []).map(carriedTarget),
    onChange: f.onChange,
    ...(allow ? { allow } : {}),
    source: f.snat.mode === 'address' ? f.snat.address.text : f.snat.mode,
  };
}

const carriedTarget = ({ address, port }: PlacedTarget): CarriedTarget => ({
  address: address.text,
  ...(port === undefined ? {} : { port }),
});

/** What several elements of one forward tell together. */
interface Found {
  readonly kind: Kind;
  readonly at: string;
  readonly policy: OnChange;
  readonly protocols: Set<string>;
  readonly address: string | undefined;
  first: number;
  last: number;
  target: string | undefined;
  targetPort: number | undefined;
}

const LISTENER_SETS: ReadonlyMap<SetName, Kind> = new Map(
  KINDS.flatMap((kind): [SetName, Kind][] => [
    [`to-${kind}`, kind],
    ...(kind === 'vip' || kind === 'if-vip' ? [] : [[`pool-${kind}`, kind] as [SetName, Kind]]),
  ]),
);

/** Of forwards, the sets that a table's differences are in when a listener or its target differs. */
export const listenerKind = (set: SetSpec): Kind | undefined => LISTENER_SETS.get(set.name);

/** The forwards that these elements tell of, by key; one whose elements were changed beyond recognition is left out. */
export function carriedIn(family: Family, { patch }: Pick<ObservedTable, 'patch'>): ReadonlyMap<string, Carried> {
  const found = new Map<string, Found>();
  for (const [set, entries] of patch) {
    const kind = listenerKind(set);
    if (kind === undefined) continue;
    for (const [key, { is }] of entries) if (is !== undefined) note(kind, key, is, found);
  }
  if (found.size === 0) return new Map();
  const ways = waysByOwner(family, patch);
  const allowed = new Map<Kind, ReadonlyMap<string, Cidr[]>>();
  return new Map(
    [...found].map(([key, part]) => {
      const one = asListened(part);
      const lists = allowed.get(one.kind) ?? allowedBy(one.kind, family, patch);
      allowed.set(one.kind, lists);
      return [key, carried(key, family, one, { ways: ways.get(key) ?? [], allow: lists.get(one.at), patch })];
    }),
  );
}

function note(kind: Kind, at: string, suffix: string, found: Map<string, Found>): void {
  const [, key, policy, value = ''] = /^ comment "([0-9a-f]{8}):(drain|cut|keep)" : (.*)$/.exec(suffix) ?? [];
  if (key === undefined) return;
  const parts = at.split(' . ').slice(kind.startsWith('if-') ? 1 : 0);
  const vip = kind.endsWith('vip');
  const [ports = '', protocol = '', address] = vip ? ['', 'all', parts[0]] : parts.reverse();
  const [first = 0, last = first] = ports.split('-').map(Number);
  const [target, targetPort] = value.startsWith('goto ') ? [] : value.split(' . ');
  const there = found.get(key);
  if (!there) {
    const port = targetPort === undefined ? (vip ? undefined : first) : Number(targetPort);
    const protocols = new Set([protocol]);
    found.set(key, { kind, at, policy: policy as OnChange, protocols, address, first, last, target, targetPort: port });
    return;
  }
  there.protocols.add(protocol);
  // A range that moves is one element for each port.
  if (first < there.first) {
    there.first = first;
    there.targetPort = targetPort === undefined ? first : Number(targetPort);
  }
  there.last = Math.max(there.last, last);
}

/** A range that moves has its listener's other elements as the range that it is. */
function asListened(one: Found): Found {
  const { kind, at, first, last } = one;
  if (first === last || kind.endsWith('-range') || kind.endsWith('vip')) return one;
  const before = at.slice(0, at.lastIndexOf(' . '));
  return { ...one, kind: `${kind as PortPlace}-range`, at: `${before} . ${first}-${last}` };
}

function carried(
  key: string,
  family: Family,
  one: Found,
  context: { readonly ways: readonly string[]; readonly allow: readonly Cidr[] | undefined; readonly patch: Patches },
): Carried {
  const { protocols, target, targetPort } = one;
  const vip = one.kind.endsWith('vip');
  const [protocol = 'tcp'] = protocols;
  const guarded = context.patch.get(setOf(family, `limit-${one.kind}`))?.get(one.at)?.is !== undefined;
  const single = target === undefined ? [] : [{ address: target, ...(targetPort === undefined ? {} : { port: targetPort }) }];
  return {
    key,
    family,
    protocol: protocols.size > 1 ? 'tcp+udp' : (protocol as Protocol),
    ...(one.address === undefined ? {} : { address: one.address }),
    ...(vip ? {} : { ports: { first: one.first, last: one.last } }),
    targets: single.length > 0 ? single : targetsOf(context.ways),
    down: [],
    onChange: one.policy,
    ...(guarded || context.allow ? { allow: context.allow ?? [] } : {}),
    source: sourceOf(family, one, context),
  };
}

/** A pool's element names its chain only; its ways tell where it leads. */
function targetsOf(ways: readonly string[]): CarriedTarget[] {
  const targets = new Map<string, CarriedTarget>();
  for (const way of ways) {
    const [ports = '', address = ''] = way.split(' . ').reverse();
    targets.set(`${address} ${ports}`, { address, port: Number(ports.split('-')[0]) });
  }
  return [...targets.values()];
}

function sourceOf(
  family: Family,
  { kind, address, target, targetPort, at }: Found,
  { ways, patch }: { readonly ways: readonly string[]; readonly patch: Patches },
): string {
  const flowKind = kind.endsWith('vip')
    ? ('vip' as const)
    : (`${address === undefined ? ('any' as const) : ('at' as const)}${kind.endsWith('-range') ? ('-range' as const) : ('' as const)}` as const);
  const listened = at.split(' . ').slice(placeOf(kind).startsWith('if-') ? 1 : 0);
  const flows = ways.length > 0 ? ways : [[...listened, target, ...(targetPort === undefined ? [] : [targetPort])].join(' . ')];
  for (const flow of flows) {
    if (patch.get(setOf(family, `kept-${flowKind}`))?.get(flow)?.is !== undefined) return 'none';
    const fixed = patch.get(setOf(family, `fixed-${flowKind}`))?.get(flow)?.is;
    if (fixed !== undefined) return fixed.slice(' : '.length);
  }
  return 'masquerade';
}

function waysByOwner(family: Family, patch: Patches): ReadonlyMap<string, readonly string[]> {
  const ways = new Map<string, string[]>();
  for (const [set, entries] of patch) {
    if (!set.own || set.family !== family) continue;
    for (const [way, { is }] of entries) {
      const owner = ownerOf(is);
      if (owner === undefined) continue;
      const there = ways.get(owner);
      if (there) there.push(way);
      else ways.set(owner, [way]);
    }
  }
  return ways;
}

function allowedBy(kind: Kind, family: Family, patch: Patches): ReadonlyMap<string, Cidr[]> {
  const allowed = new Map<string, Cidr[]>();
  for (const [key, { is }] of patch.get(setOf(family, `allowed-${placeOf(kind)}`)) ?? []) {
    if (is === undefined) continue;
    const end = key.lastIndexOf(' . ');
    const cidr = parseCidr(key.slice(end + 3));
    const at = key.slice(0, end);
    if (cidr.ok) allowed.set(at, [...(allowed.get(at) ?? []), cidr.value]);
  }
  return allowed;
}
