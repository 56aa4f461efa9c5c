import { comment } from './layout.js';
import { type Listener, networkAt, PROTOCOL_LEVEL, portsAt, prefixName } from './listener-digits.js';
import { countOf, type ListenerTree } from './listener-tree.js';
import type { RenderedChain } from './render.js';

/** How packets find their way down a tree. */
export interface TreeLayout {
  /** The chain at its top. */
  readonly root: string;
  /** Begins the names of all others. */
  readonly prefix: string;
  /** By where the packet goes or comes from, or by where its flow first went or came from. */
  readonly by: 'destination' | 'source' | 'flow' | 'flow-source';
  /** What stands at the end of every chain. Such chains are left for good when one leads on, so their order matters. */
  readonly last?: string;
  readonly rulesOf: (listener: Listener) => readonly string[];
}

/** The chains of a tree by name, or what differs from those of `before`: undefined for a chain that goes. */
export function treeChains(
  layout: TreeLayout,
  tree: ListenerTree,
  before?: ListenerTree,
): ReadonlyMap<string, RenderedChain | undefined> {
  const made = new Map<string, RenderedChain | undefined>();
  const gone = new Set<string>();
  const top = (t: ListenerTree | undefined): Place | undefined =>
    t && countOf(t) > 0 ? { tree: t, level: 0, name: layout.root } : undefined;
  compare(layout, top(tree), top(before), { made, gone });
  for (const name of gone) if (!made.has(name)) made.set(name, undefined);
  return made;
}

/** A chain of a tree: `level` says how much of a packet is known there. */
interface Place {
  readonly tree: ListenerTree;
  readonly level: number;
  readonly name: string;
}

interface Found {
  readonly made: Map<string, RenderedChain | undefined>;
  readonly gone: Set<string>;
}

/** Where a subtree moved down or up, all of it is looked at again: it is rare, and its chains turn out to be as they were. */
function compare(layout: TreeLayout, now: Place | undefined, before: Place | undefined, found: Found): void {
  if (now && before && now.tree === before.tree && now.name === before.name && now.level === before.level) return;
  if (before) found.gone.add(before.name);
  if (now) found.made.set(now.name, chainOf(layout, now));
  const old = new Map((before ? placesBelow(layout, before) : []).map((p) => [p.name, p]));
  for (const place of now ? placesBelow(layout, now) : []) {
    compare(layout, place, old.get(place.name), found);
    old.delete(place.name);
  }
  for (const place of old.values()) compare(layout, undefined, place, found);
}

function placesBelow(layout: TreeLayout, { tree }: Place): Place[] {
  if (tree.kind === 'leaf') return [];
  const level = tree.level + 1;
  return [...tree.children.values()]
    .filter((child) => countOf(child) > 1)
    .map((child) => ({ tree: child, level, name: `${layout.prefix}${prefixName(sampleOf(child), level)}` }));
}

const sampleOf = (tree: ListenerTree): Listener => (tree.kind === 'inner' ? tree.sample : (tree.listeners[0] as Listener));

function chainOf(layout: TreeLayout, place: Place): RenderedChain {
  const { tree } = place;
  const rules: string[] = [];
  const put = (listener: Listener) => rules.push(...layout.rulesOf(listener));
  if (tree.kind === 'leaf') for (const listener of tree.listeners) put(listener);
  else {
    for (const listener of tree.across) put(listener);
    // One alone needs no chain.
    for (const child of tree.children.values())
      if (child.kind === 'leaf' && child.listeners.length === 1) child.listeners.forEach(put);
    for (const below of placesBelow(layout, place))
      rules.push(
        `${jumpMatch(layout, sampleOf(below.tree), place.level, below.level)}${comment('part')} -${layout.last === undefined ? 'j' : 'g'} ${below.name}`,
      );
  }
  if (layout.last !== undefined) rules.push(layout.last);
  return { kind: layout.last === undefined ? 'shared' : 'own', rules };
}

/** Tells what is known at `to` from what was known at `from` already. */
function jumpMatch({ by }: TreeLayout, sample: Listener, from: number, to: number): string {
  const network = from < PROTOCOL_LEVEL ? networkAt(sample, to) : undefined;
  const ports = portsAt(sample, to);
  const protocol = to > PROTOCOL_LEVEL ? sample.protocol : undefined;
  if (by === 'flow') return flowMatch({ network, protocol, ports });
  if (by === 'flow-source') return flowSourceMatch(network);
  return by === 'source'
    ? sourceMatch({ network, protocol, ports })
    : headerMatch({ network, protocol, ports, local: from === 0 && sample.hex === '' });
}

export interface Match {
  readonly network?: { readonly network: string; readonly prefix: number } | undefined;
  readonly interface?: string | undefined;
  readonly protocol?: string | undefined;
  readonly ports?: { readonly first: number; readonly last: number } | undefined;
  /** Only what is sent to one of the gateway's own addresses. */
  readonly local?: boolean;
}

/** By a packet's destination, in the words and the order of iptables-save. Ends with a space, or is empty. */
export function headerMatch({ network, interface: iface, protocol, ports, local }: Match): string {
  let match = '';
  if (network) match += `-d ${network.network}/${network.prefix} `;
  if (iface !== undefined) match += `-i ${iface} `;
  if (protocol !== undefined && protocol !== 'all') match += `-p ${protocol} `;
  if (ports) match += `-m ${protocol} --dport ${portText(ports)} `;
  // Last, for it costs a look into the routes.
  if (local) match += '-m addrtype --dst-type LOCAL ';
  return match;
}

/** By a packet's source. */
export function sourceMatch({ network, protocol, ports }: Match): string {
  let match = '';
  if (network) match += `-s ${network.network}/${network.prefix} `;
  if (protocol !== undefined && protocol !== 'all') match += `-p ${protocol} `;
  if (ports) match += `-m ${protocol} --sport ${portText(ports)} `;
  return match;
}

const NUMBER: Readonly<Record<string, number>> = { tcp: 6, udp: 17 };

/** By where a flow first went: the same for all its packets, in both directions. */
export function flowMatch({ network, protocol, ports }: Match): string {
  let match = '';
  if (protocol !== undefined && protocol !== 'all') match += ` --ctproto ${NUMBER[protocol]}`;
  if (network) match += ` --ctorigdst ${network.network}${isHost(network) ? '' : `/${network.prefix}`}`;
  if (ports) match += ` --ctorigdstport ${portText(ports)}`;
  return match === '' ? '' : `-m conntrack${match} `;
}

/** By where a flow first came from. */
export const flowSourceMatch = (network: Match['network']): string =>
  network ? `-m conntrack --ctorigsrc ${network.network}${isHost(network) ? '' : `/${network.prefix}`} ` : '';

const isHost = ({ network, prefix }: { readonly network: string; readonly prefix: number }): boolean =>
  prefix === (network.includes(':') ? 128 : 32);

const portText = ({ first, last }: { readonly first: number; readonly last: number }): string =>
  first === last ? String(first) : `${first}:${last}`;
