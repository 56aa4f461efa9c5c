/** What one forward, one egress or the gateway's own listeners are in the sets, in nft's words. */
import type { Cidr, Family } from '@gwctl/shared/domain/ip';
import type { PortRange } from '@gwctl/shared/domain/ports';
import type {
  AnnouncedAddress,
  PlacedEgress,
  PlacedForward,
  PlacedRelayed,
  PlacedTarget,
  ProtectedListener,
} from '../../planner/types.js';
import { poolChain, poolChains } from './pools.js';
import {
  type FlowKind,
  type Kind,
  type Place,
  POOL_CHAINS,
  type PortPlace,
  type SetGroup,
  type SetName,
  type SetSpec,
  setIn,
  setOf,
} from './sets.js';

/** An element's comment and value as nft writes them behind its key: ` comment "9f1c2ab0:drain" : 10.0.0.10 . 8443`, or nothing. */
export type Suffix = string;

export interface Element {
  readonly set: SetSpec;
  readonly key: string;
  readonly suffix: Suffix;
}

/** All that is in a table because of one forward or egress, or because of the gateway itself. */
export interface Part {
  readonly family: Family;
  /** Empty for the gateway's own. */
  readonly uid: string;
  /** Eight hex digits; empty for the gateway's own. */
  readonly key: string;
  readonly forward?: PlacedForward;
  /** Nobody else has these. */
  readonly elements: readonly Element[];
  /** Others may have the same. */
  readonly shared: readonly Element[];
}

const NONE: readonly never[] = [];

/** Puts elements together; those that others may have too are kept apart. */
class Collector {
  readonly elements: Element[] = [];
  readonly shared: Element[] = [];
  readonly #family: Family;
  readonly #sharing: boolean;

  /** `sharing`: flows of another forward may be told apart by the same key. */
  constructor(family: Family, sharing: boolean) {
    this.#family = family;
    this.#sharing = sharing;
  }

  put(name: SetName, key: string, suffix: Suffix = ''): void {
    this.#putIn(setOf(this.#family, name), key, suffix);
  }

  /** Into the set that is called `GROUP-KIND`. */
  putIn(group: SetGroup, kind: Kind | FlowKind, key: string, suffix: Suffix = ''): void {
    this.#putIn(setIn(this.#family, group, kind), key, suffix);
  }

  #putIn(set: SetSpec, key: string, suffix: Suffix): void {
    const shared = set.shared === 'any' || (set.shared === 'listeners' && this.#sharing);
    (shared ? this.shared : this.elements).push({ set, key, suffix });
  }
}

export const forwardPart = (forward: PlacedForward): Part => new ForwardPart(forward);

/** Says what its elements are when asked: kept for tens of thousands of forwards, they would take more room than all else. */
class ForwardPart implements Part {
  readonly forward: PlacedForward;

  constructor(forward: PlacedForward) {
    this.forward = forward;
  }

  get family(): Family {
    return this.forward.family;
  }

  get uid(): string {
    return this.forward.uid;
  }

  get key(): string {
    return this.forward.key;
  }

  get elements(): readonly Element[] {
    return collected(this.forward).elements;
  }

  get shared(): readonly Element[] {
    return last?.forward === this.forward ? last.shared : sharedOf(this.forward);
  }
}

/** Whoever asks for the one asks for the other as well. */
let last:
  | { readonly forward: PlacedForward; readonly elements: readonly Element[]; readonly shared: readonly Element[] }
  | undefined;

function collected(forward: PlacedForward): Pick<Part, 'elements' | 'shared'> {
  if (last?.forward !== forward) last = { forward, ...collect(forward) };
  return last;
}

function collect(forward: PlacedForward): Pick<Part, 'elements' | 'shared'> {
  const { family, listen } = forward;
  const into = new Collector(family, listen.interface !== undefined);
  for (const { name, rules } of poolChains(forward))
    into.elements.push({ set: POOL_CHAINS[family], key: name, suffix: rules.join('\n') });
  if (listen.protocol === 'all') putAddress(forward, into);
  else for (const transport of transportsOf(forward)) putTransport(forward, transport, into);
  putFtp(forward, into);
  putHairpin(forward, into);
  return { elements: into.elements, shared: sharedIn(into) };
}

/** The same without making the words of all the others: the index of a rendering asks for these alone, forty thousand times. */
function sharedOf(forward: PlacedForward): readonly Element[] {
  const { listen, family } = forward;
  if (listen.interface !== undefined || listen.protocol === 'all') return collected(forward).shared;
  const into = new Collector(family, false);
  if (listen.protocol !== 'udp') putAnswers(forward, into);
  putHairpin(forward, into);
  return sharedIn(into);
}

const sharedIn = ({ shared }: Collector): readonly Element[] => (shared.length === 0 ? NONE : shared);

export const transportsOf = ({ listen: { protocol } }: PlacedForward): readonly ('tcp' | 'udp')[] =>
  protocol === 'all' || protocol === 'tcp+udp' ? ['tcp', 'udp'] : [protocol];

/** A forward of some ports of one transport. */
function putTransport(forward: PlacedForward, transport: 'tcp' | 'udp', into: Collector): void {
  const { listen, key } = forward;
  const ports = portsOf(forward);
  const place = placeOf(forward) as Exclude<Place, 'vip' | 'if-vip'>;
  const kind = ports.first === ports.last ? place : (`${place}-range` as const);
  const before = listenerPrefix(forward);
  const at = join(...before, transport, portsText(ports));
  putGuard(forward, place, kind, at, into);
  const [first] = forward.targets;
  const comment = policyComment(forward);
  if (forward.targets.length > 1) into.put(`pool-${kind}`, at, [comment, ' : goto ', poolChain(key)].join(''));
  else if (first && kind === place)
    into.putIn('to', place, at, [comment, ' : ', join(first.address.text, targetPort(first))].join(''));
  else if (first && targetPort(first) === ports.first)
    into.putIn('to', `${place}-range`, at, [comment, ' : ', first.address.text].join(''));
  // A range that moves has no word in nft: each port is an element, of the same hash map as single ports.
  else if (first)
    for (let n = 0; n <= ports.last - ports.first; n++)
      into.putIn(
        'to',
        place,
        join(...before, transport, ports.first + n),
        [comment, ' : ', join(first.address.text, targetPort(first) + n)].join(''),
      );
  const flowPlace = listen.address ? 'at' : 'any';
  const flowKind: FlowKind = kind === place ? flowPlace : `${flowPlace}-range`;
  for (const target of forward.targets) {
    const width = ports.last - ports.first;
    const really = portsText({ first: targetPort(target), last: targetPort(target) + width });
    const parts = [transport, portsText(ports), target.address.text, really];
    const flow = listen.address ? join(listen.address.text, ...parts) : join(...parts);
    putFlow(forward, flowKind, flow, into);
    if (transport === 'tcp' && forward.clampMss) into.put(`clamp-${flowPlace}`, flow);
  }
  if (transport === 'tcp') putAnswers(forward, into);
}

/** What targets answer over TCP that know the client by the gateway's address. */
function putAnswers(forward: PlacedForward, into: Collector): void {
  if (forward.snat.mode === 'none') return;
  const ports = portsOf(forward);
  for (const target of forward.targets) {
    if (ports.first === ports.last) into.put('answers', join(target.address.text, targetPort(target)));
    else into.put('answers-any', target.address.text);
  }
}

function putHairpin(forward: PlacedForward, into: Collector): void {
  if (forward.snat.mode !== 'none') return;
  for (const { network, target } of forward.hairpin) into.put('hairpin', join(networkText(network), target.text));
}

/** A forward of a whole address, in both directions. */
function putAddress(forward: PlacedForward, into: Collector): void {
  const { listen } = forward;
  const [target] = forward.targets;
  if (!listen.address || !target) throw new Error(`forward ${forward.uid} of a whole address has no address or no target`);
  const place = listen.interface === undefined ? 'vip' : 'if-vip';
  const at = join(...listenerPrefix(forward));
  putGuard(forward, place, place, at, into);
  into.putIn('to', place, at, [policyComment(forward), ' : ', target.address.text].join(''));
  const flow = join(listen.address.text, target.address.text);
  putFlow(forward, 'vip', flow, into);
  if (forward.clampMss) into.put('clamp-vip', flow);
  if (forward.snat.mode !== 'none') into.put('answers-any', target.address.text);
  const from = listen.interface === undefined ? target.address.text : join(quoted(listen.interface), target.address.text);
  into.put(listen.interface === undefined ? 'source' : 'if-source', from, ` : ${listen.address.text}`);
  into.put(listen.interface === undefined ? 'own-source' : 'own-if-source', from, keyComment(forward.key));
}

/** Who may come in. */
function putGuard(forward: PlacedForward, place: Place, kind: Kind, at: string, into: Collector): void {
  const allow = allowOf(forward);
  into.putIn(allow ? 'limit' : 'listen', kind, at);
  if (!allow) return;
  for (const cidr of allow) into.put(`allowed-${place}`, join(at, networkText(cidr)));
  into.put(`refused-${place}`, at, keyComment(forward.key));
}

/** How flows of the forward are known once they are translated, and which source address they get. */
function putFlow(forward: PlacedForward, kind: FlowKind, flow: string, into: Collector): void {
  const { snat } = forward;
  into.putIn('own', kind, flow, keyComment(forward.key));
  if (snat.mode === 'address') into.putIn('fixed', kind, flow, ` : ${snat.address.text}`);
  else into.putIn(snat.mode === 'none' ? 'kept' : 'masq', kind, flow);
}

function putFtp(forward: PlacedForward, into: Collector): void {
  const { ftp, listen } = forward;
  if (!ftp || listen.protocol === 'udp') return;
  const place =
    `${listen.interface === undefined ? '' : ('if-' as const)}${listen.address ? ('at' as const) : ('any' as const)}` as const;
  into.put(`ftp-${place}`, join(...listenerPrefix(forward), 'tcp', portsText(ftp)));
}

export function egressPart(egress: PlacedEgress): Part {
  const { family, uid, key, snat } = egress;
  const into = new Collector(family, false);
  const comment = keyComment(key);
  for (const source of egress.sources) {
    const from = join(quoted(egress.outInterface), networkText(source));
    into.put('egress-own', from, comment);
    if (snat.mode === 'masquerade') into.put('egress-masq', from, comment);
    else into.put('egress-fixed', from, [comment, ' : ', snat.address.text].join(''));
    for (const to of egress.except) into.put('egress-except', join(from, networkText(to)));
  }
  return { family, uid, key, elements: into.elements, shared: NONE };
}

/** What the relay listens on in one family: nothing where it does not. */
export function relayedPart(family: Family, { uid, key, listen, allow }: PlacedRelayed): Part {
  const into = new Collector(family, false);
  const place: PortPlace = `${listen.interface === undefined ? '' : 'if-'}${listen.address ? 'at' : 'any'}`;
  const before = [
    ...(listen.interface === undefined ? NONE : [quoted(listen.interface)]),
    ...(listen.address ? [listen.address.text] : NONE),
  ];
  const from = allow?.filter((cidr) => cidr.family === family);
  const limited = from !== undefined && !from.some((cidr) => cidr.prefix === 0);
  const comment = keyComment(key);
  for (const transport of listen.families.includes(family) ? listen.transports : NONE) {
    const at = join(...before, transport, portsText(listen.ports));
    if (!limited) into.put(`relay-${place}`, at, comment);
    else for (const cidr of from) into.put(`relay-from-${place}`, join(at, networkText(cidr)), comment);
  }
  return { family, uid, key, elements: into.elements, shared: NONE };
}

/** What the gateway itself answers. */
export function hostPart(family: Family, listeners: readonly ProtectedListener[], announced: readonly AnnouncedAddress[]): Part {
  const into = new Collector(family, false);
  const seen = new Set<string>();
  for (const { address, protocol, port } of listeners) {
    if (address && address.family !== family) continue;
    const key = join(...(address ? [address.text] : []), protocol, port);
    if (!seen.has(key)) into.put(address ? 'protected-at' : 'protected-any', key);
    seen.add(key);
  }
  const addresses = announced.flatMap(({ address }) => (address.family === family ? [address.text] : []));
  for (const address of new Set(addresses)) into.put('announced', address);
  return { family, uid: '', key: '', elements: into.elements, shared: NONE };
}

const placeOf = ({ listen }: PlacedForward): Place =>
  `${listen.interface === undefined ? '' : ('if-' as const)}${listen.address ? 'at' : 'any'}`;

function listenerPrefix({ listen }: PlacedForward): readonly string[] {
  return [
    ...(listen.interface === undefined ? NONE : [quoted(listen.interface)]),
    ...(listen.address ? [listen.address.text] : NONE),
  ];
}

/** An allow-list that names everybody is none. */
export const allowOf = ({ allow }: PlacedForward): readonly Cidr[] | undefined =>
  allow?.some((cidr) => cidr.prefix === 0) ? undefined : allow;

/** As nft prints it: a network of one is an address. */
export const networkText = (cidr: Cidr): string =>
  cidr.prefix === (cidr.family === 4 ? 32 : 128) ? cidr.network : `${cidr.network}/${cidr.prefix}`;

export const portsText = ({ first, last }: PortRange): string => (first === last ? String(first) : `${first}-${last}`);

/** Key and policy stand in the comment, so that a process without memory can still honour them on removal. */
const policyComment = ({ key, onChange }: PlacedForward): string => [' comment "', key, ':', onChange, '"'].join('');
const keyComment = (key: string): string => [' comment "', key, '"'].join('');
const quoted = (name: string): string => `"${name}"`;
/** Joined, not added up: a string of a hundred characters instead of a tree of parts, forty thousand times. */
const join = (...parts: readonly (string | number)[]) => parts.join(' . ');

export function portsOf(forward: PlacedForward): PortRange {
  const { ports } = forward.listen;
  if (!ports) throw new Error(`forward ${forward.uid} has no ports`);
  return ports;
}

export function targetPort(target: PlacedTarget): number {
  if (target.port === undefined) throw new Error(`target ${target.address.text} has no port`);
  return target.port;
}
