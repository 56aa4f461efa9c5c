/**
 * The sets and maps that forwards and egresses are elements of, in both tables. Whatever changes here needs another version of the
 * layout. Hash sets carry the common case; intervals are only where ranges and networks are.
 */
import type { Family } from '@gwctl/shared/domain/ip';

/** What is called differently in the two families. */
interface Words {
  /** Of the table, and of what is matched: `ip daddr`. */
  readonly ip: 'ip' | 'ip6';
  readonly addr: 'ipv4_addr' | 'ipv6_addr';
}

export const FAMILIES: readonly Family[] = [4, 6];
export const WORDS: Readonly<Record<Family, Words>> = { 4: { ip: 'ip', addr: 'ipv4_addr' }, 6: { ip: 'ip6', addr: 'ipv6_addr' } };

/** How a listener is matched: by address or as every address of the gateway, each with or without an interface; `vip`: a whole address. */
export const PLACES = ['at', 'if-at', 'any', 'if-any', 'vip', 'if-vip'] as const;
export type Place = (typeof PLACES)[number];
export type PortPlace = Exclude<Place, 'vip' | 'if-vip'>;
/** A place, its ports one by one or as ranges. */
export type Kind = PortPlace | `${PortPlace}-range` | 'vip' | 'if-vip';
export const PORT_PLACES = ['at', 'if-at', 'any', 'if-any'] as const satisfies readonly PortPlace[];
export const PORT_KINDS = PORT_PLACES.flatMap((place) => [place, `${place}-range`] as const);
export const VIP_KINDS = ['vip', 'if-vip'] as const;
export const KINDS: readonly Kind[] = [...PORT_KINDS, ...VIP_KINDS];

/** How a flow of a forward is told apart: with or without the address that its client asked for; `vip`: by addresses alone. */
export const FLOW_KINDS = ['at', 'any', 'at-range', 'any-range', 'vip'] as const;
export type FlowKind = (typeof FLOW_KINDS)[number];
export const CLAMP_KINDS = ['at', 'any', 'vip'] as const;
export type ClampKind = (typeof CLAMP_KINDS)[number];

interface Match {
  readonly types: readonly string[];
  readonly fields: readonly string[];
}

const DADDR = { type: 'addr', field: 'IP daddr' };
const PORT = [
  { type: 'inet_proto', field: 'meta l4proto' },
  { type: 'inet_service', field: 'th dport' },
];
const IIF = { type: 'ifname', field: 'iifname' };

const PLACE_FIELDS: Readonly<Record<Place, readonly { readonly type: string; readonly field: string }[]>> = {
  at: [DADDR, ...PORT],
  'if-at': [IIF, DADDR, ...PORT],
  any: PORT,
  'if-any': [IIF, ...PORT],
  vip: [DADDR],
  'if-vip': [IIF, DADDR],
};

/** What an arriving packet is looked up by. */
export function listenerMatch(family: Family, place: Place): Match {
  const { ip, addr } = WORDS[family];
  const parts = PLACE_FIELDS[place];
  return {
    types: parts.map((p) => (p.type === 'addr' ? addr : p.type)),
    fields: parts.map((p) => p.field.replace('IP', ip)),
  };
}

export const placeOf = (kind: Kind): Place => kind.replace('-range', '') as Place;

/**
 * Where a flow was sent to and where it really goes: the same for each of its packets, in both directions, and for the ICMP errors that
 * belong to it. That is why it asks connection tracking even for the protocol.
 */
export function flowMatch(family: Family, kind: FlowKind | ClampKind): Match {
  const { ip, addr } = WORDS[family];
  const [to, really] = [`ct original ${ip} daddr`, `ct reply ${ip} saddr`];
  if (kind === 'vip') return { types: [addr, addr], fields: [to, really] };
  const types = ['inet_proto', 'inet_service', addr, 'inet_service'];
  const fields = ['ct original protocol', 'ct original proto-dst', really, 'ct reply proto-src'];
  return kind.startsWith('any') ? { types, fields } : { types: [addr, ...types], fields: [to, ...fields] };
}

export type SetName =
  | `listen-${Kind}`
  | `limit-${Kind}`
  | `to-${Kind}`
  | `pool-${PortPlace}`
  | `pool-${PortPlace}-range`
  | `allowed-${Place}`
  | `refused-${Place}`
  | `ftp-${PortPlace}`
  | `relay-${PortPlace}`
  | `relay-from-${PortPlace}`
  | `own-${FlowKind}`
  | `masq-${FlowKind}`
  | `kept-${FlowKind}`
  | `fixed-${FlowKind}`
  | `clamp-${ClampKind}`
  | 'own-source'
  | 'own-if-source'
  | 'source'
  | 'if-source'
  | 'egress-own'
  | 'egress-except'
  | 'egress-masq'
  | 'egress-fixed'
  | 'pool-chains'
  | 'protected-at'
  | 'protected-any'
  | 'announced'
  | 'answers'
  | 'answers-any'
  | 'hairpin';

/** Sets of which there is one for each kind of listener or of flow, and that nearly every forward is in. */
export type SetGroup = 'listen' | 'limit' | 'to' | 'own' | 'masq' | 'kept' | 'fixed';

export interface SetSpec {
  readonly family: Family;
  readonly name: SetName;
  /** Of the key, in order. */
  readonly types: readonly string[];
  /** Of a map's values; undefined for a set. */
  readonly data?: string;
  /** Keys may be ranges and networks. */
  readonly interval?: boolean;
  /** Elements count what is looked up. Each such set is looked up at one place only. */
  readonly counter?: boolean;
  /** Two forwards may need the same element; `listeners`: only those that listen on interfaces. */
  readonly shared?: 'any' | 'listeners';
  /** Its elements let existing flows pass, so that they stay as long as these. */
  readonly own?: boolean;
}

function listenerSets(family: Family): SetSpec[] {
  const { addr } = WORDS[family];
  const types = (place: Place) => listenerMatch(family, place).types;
  const perKind = (kind: Kind): SetSpec[] => {
    const place = placeOf(kind);
    const shared = { family, types: types(place), ...(kind.endsWith('-range') ? { interval: true } : {}) };
    const data = kind.endsWith('-range') || kind.endsWith('vip') ? addr : `${addr} . inet_service`;
    return [
      // Two sets, not one map to chains: with every element of such a map the kernel walks through all others to look for loops.
      { ...shared, name: `listen-${kind}` },
      { ...shared, name: `limit-${kind}` },
      { ...shared, name: `to-${kind}`, data, counter: true },
      ...(place === 'vip' || place === 'if-vip'
        ? []
        : [{ ...shared, name: `pool-${kind}` as SetName, data: 'verdict', counter: true }]),
    ];
  };
  const perPlace = (place: Place): SetSpec[] => [
    { family, name: `allowed-${place}`, types: [...types(place), addr], interval: true },
    // A place with a single field would be an interval of the kind that nft lists before it adds to it.
    { family, name: `refused-${place}`, types: types(place), counter: true, ...(place === 'vip' ? {} : { interval: true }) },
  ];
  return [
    ...KINDS.flatMap(perKind),
    ...PLACES.flatMap(perPlace),
    ...PORT_PLACES.map((place): SetSpec => ({ family, name: `ftp-${place}`, types: types(place), interval: true })),
    // What the relay listens on: for anyone, and with the networks that it is for.
    ...PORT_PLACES.flatMap((place): SetSpec[] => [
      { family, name: `relay-${place}`, types: types(place), interval: true },
      { family, name: `relay-from-${place}`, types: [...types(place), addr], interval: true },
    ]),
  ];
}

function flowSets(family: Family): SetSpec[] {
  const { addr } = WORDS[family];
  const perKind = (kind: FlowKind): SetSpec[] => {
    const { types } = flowMatch(family, kind);
    const set = { family, types, shared: 'listeners' as const, ...(kind.endsWith('-range') ? { interval: true } : {}) };
    return [
      { ...set, name: `own-${kind}`, counter: true, own: true },
      { ...set, name: `fixed-${kind}`, data: addr },
      { ...set, name: `kept-${kind}` },
      { ...set, name: `masq-${kind}` },
    ];
  };
  const clamp = (kind: ClampKind): SetSpec => ({
    family,
    name: `clamp-${kind}`,
    types: flowMatch(family, kind).types,
    shared: 'listeners',
    interval: true,
  });
  return [...FLOW_KINDS.flatMap(perKind), ...CLAMP_KINDS.map(clamp)];
}

function otherSets(family: Family): SetSpec[] {
  const { addr } = WORDS[family];
  const egress = { family, types: ['ifname', addr], interval: true };
  return [
    { family, name: 'protected-at', types: listenerMatch(family, 'at').types },
    { family, name: 'protected-any', types: listenerMatch(family, 'any').types },
    { family, name: 'announced', types: [addr] },
    { family, name: 'hairpin', types: [addr, addr], interval: true, shared: 'any' },
    { family, name: 'answers', types: [addr, 'inet_service'], shared: 'any' },
    // Ranges of two forwards may overlap, which a set of ranges takes from nobody.
    { family, name: 'answers-any', types: [addr], shared: 'any' },
    // Of two addresses that stand for one host, the first is what it sends from.
    { family, name: 'own-source', types: [addr], counter: true, shared: 'any' },
    { family, name: 'own-if-source', types: ['ifname', addr], counter: true, shared: 'any' },
    { family, name: 'source', types: [addr], data: addr, shared: 'any' },
    { family, name: 'if-source', types: ['ifname', addr], data: addr, shared: 'any' },
    { ...egress, name: 'egress-own', counter: true },
    { ...egress, name: 'egress-except', types: ['ifname', addr, addr] },
    { ...egress, name: 'egress-masq', counter: true },
    { ...egress, name: 'egress-fixed', data: addr, counter: true },
  ];
}

/** Of one table. */
export const SETS: Readonly<Record<Family, readonly SetSpec[]>> = { 4: sets(4), 6: sets(6) };

function sets(family: Family): readonly SetSpec[] {
  return [...otherSets(family), ...listenerSets(family), ...flowSets(family)];
}

/** No set, but the chains of forwards with several targets, by name, each with its rules: as much a forward's own as its elements. */
export const POOL_CHAINS: Readonly<Record<Family, SetSpec>> = {
  4: { family: 4, name: 'pool-chains', types: [] },
  6: { family: 6, name: 'pool-chains', types: [] },
};

const BY_NAME: Readonly<Record<Family, ReadonlyMap<string, SetSpec>>> = {
  4: new Map(SETS[4].map((s) => [s.name, s])),
  6: new Map(SETS[6].map((s) => [s.name, s])),
};

/** The set of this name; the same object each time. */
export function setOf(family: Family, name: SetName): SetSpec {
  const spec = BY_NAME[family].get(name);
  if (!spec) throw new Error(`there is no set ${name}`);
  return spec;
}

/**
 * The set that is called `GROUP-KIND`. Asked for each element of tens of thousands of forwards: a name put together anew each time would
 * have to be read to its end to be found.
 */
export function setIn(family: Family, group: SetGroup, kind: Kind | FlowKind): SetSpec {
  const known = BY_GROUP[family].get(group)?.get(kind);
  if (known) return known;
  const spec = setOf(family, `${group}-${kind}` as SetName);
  const kinds = BY_GROUP[family].get(group) ?? new Map<string, SetSpec>();
  BY_GROUP[family].set(group, kinds.set(kind, spec));
  return spec;
}

const BY_GROUP: Readonly<Record<Family, Map<string, Map<string, SetSpec>>>> = { 4: new Map(), 6: new Map() };

export const findSet = (family: Family, name: string): SetSpec | undefined => BY_NAME[family].get(name);
