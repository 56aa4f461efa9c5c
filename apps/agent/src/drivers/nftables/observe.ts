import type { Family } from '@gwctl/shared/domain/ip';
import type { DriftCauseWord } from '@gwctl/shared/domain/status';
import type { ForwardFilters } from '../../filters/filters.js';
import type { FlowMatch } from '../../system/conntrack.js';
import type { Forwarding } from '../../system/ip-forwarding.js';
import { type ChainSpec, CLOSED_CHAIN, isPool, STATE_CHAIN } from './chains.js';
import type { Suffix } from './elements.js';
import { chainsOf, type LayoutOptions, TABLE, VERSION, VERSION_COMMENT } from './layout.js';
import type { ListedChain, Listing } from './listing.js';
import type { Rendered } from './render.js';
import { SETS, type SetSpec } from './sets.js';

/** The static part is not as we wrote it. */
export interface Defect {
  readonly cause: DriftCauseWord;
  readonly object: string;
  readonly message: string;
}

/** Where the kernel differs from a rendering in one element. */
export interface Patch {
  /** What the kernel has; undefined: nothing. */
  readonly is?: Suffix;
  /** What the rendering has. */
  readonly was?: Suffix;
}

export type Patches = ReadonlyMap<SetSpec, ReadonlyMap<string, Patch>>;

/** What is in one of our tables. */
export interface ObservedTable {
  /** What is wrong with the static part; empty when nothing is. */
  readonly defects: readonly Defect[];
  /** Whether it keeps others' traffic from being forwarded. */
  readonly closed: boolean;
  /** How its sets differ from {@link Observed.base}. */
  readonly patch: Patches;
  /** Chains that were emptied and wait to be deleted: since when, in milliseconds since the epoch. */
  readonly emptied: ReadonlyMap<string, number>;
  /** What is in the sets is not known. */
  readonly unreadable?: boolean;
}

/** Undefined where it is gone. */
export type ObservedTables = Readonly<Record<Family, ObservedTable | undefined>>;

export interface Observed {
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  /** What the sets are told by: only what differs from it is said. */
  readonly base: Rendered;
  readonly tables: ObservedTables;
  /** What others' filters do with forwarded packets. */
  readonly filters: ForwardFilters;
  readonly forwarding: Forwarding;
  /** Undefined where nobody here may switch it. */
  readonly forwarding6?: Forwarding;
  /** The kernel's count of changes of nftables, all tables, at which this was so; undefined where it is unknown. */
  readonly generation?: number;
  /** The tables were listed at this generation, not concluded from what we wrote. */
  readonly read?: boolean;
  /** Why flows cannot be removed or looked at; undefined where they can. */
  readonly flowTrouble?: string;
}

/** An element that lets the flows of one way pass. */
export interface OwnWay {
  readonly set: SetSpec;
  readonly key: string;
  readonly suffix: Suffix;
}

/** What our static part looks like when this host's nft prints it. */
export type Reference = Pick<Listing, 'chains' | 'declarations' | 'others'>;

/** How drift and steps name an object: the older family needs no word. */
export function objectName(family: Family, object: string): string {
  const table = family === 4 ? TABLE : `ip6 ${TABLE}`;
  return object === '' ? table : `${table}/${object}`;
}

type Report = (cause: DriftCauseWord, object: string, message: string) => void;

/** `at`: when it was read, in milliseconds since the epoch. */
export function observeTable(
  family: Family,
  listing: Listing,
  context: { readonly reference: Reference; readonly layout: LayoutOptions; readonly at: number },
): ObservedTable {
  const { reference, layout, at } = context;
  const defects: Defect[] = [];
  const report: Report = (cause, object, message) => defects.push({ cause, object: objectName(family, object), message });
  if (listing.flags) report('altered', '', 'the table has flags that ours has not; "dormant" switches it off');
  if (listing.unreadable) return { defects, closed: false, patch: new Map(), emptied: new Map(), unreadable: true };
  for (const spec of chainsOf(family, layout)) compareChain(spec, listing, reference, report);
  for (const name of listing.chains.keys())
    if (!reference.chains.has(name) && !isPool(name)) report('foreign', name, 'a chain that is not ours');
  for (const { name } of SETS[family]) {
    const declaration = listing.declarations.get(name);
    if (declaration === undefined) report('missing', name, 'the set is gone');
    else if (declaration !== reference.declarations.get(name)) report('altered', name, 'the set is of another kind');
  }
  for (const name of listing.declarations.keys())
    if (!reference.declarations.has(name)) report('foreign', name, 'a set that is not ours');
  for (const name of listing.others) if (!reference.others.includes(name)) report('foreign', name, 'an object that is not ours');
  for (const name of reference.others) if (!listing.others.includes(name)) report('missing', name, 'the object is gone');
  const emptied = [...listing.chains].filter(([name, { rules }]) => isPool(name) && rules.length === 0);
  return {
    defects,
    closed: (listing.chains.get(CLOSED_CHAIN)?.rules.length ?? 0) > 0,
    patch: listing.patch,
    emptied: new Map(emptied.map(([name]) => [name, at])),
  };
}

function compareChain(spec: ChainSpec, listing: Listing, reference: Reference, report: Report): void {
  const { name, hook } = spec;
  const chain = listing.chains.get(name);
  if (!chain) return void report('missing', name, 'the chain is gone');
  const wantedHook = hook && `${hook.type} ${hook.hook} ${hook.priority} accept`;
  if (chain.hook !== wantedHook)
    report('altered', name, `the chain is hooked as "${chain.hook ?? 'none'}" instead of "${wantedHook ?? 'none'}"`);
  const wanted = reference.chains.get(name)?.rules ?? [];
  if (name === CLOSED_CHAIN && chain.rules.length === 0) return;
  if (sameRules(chain.rules, wanted)) return;
  if (name === STATE_CHAIN) return void report('altered', name, `the layout is "${versionOf(chain)}", not "${VERSION_COMMENT}"`);
  const texts = (rules: ListedChain['rules']) => new Set(rules.map((r) => r.text));
  const [there, ours] = [texts(chain.rules), texts(wanted)];
  const gone = wanted.filter((r) => !there.has(r.text)).length;
  const extra = chain.rules.filter((r) => !ours.has(r.text)).length;
  if (gone > 0 && extra > 0) report('altered', name, `${counted(gone)} of ours changed`);
  else if (gone > 0) report('missing', name, `${counted(gone)} of ours gone`);
  else if (extra > 0) report('foreign', name, `${counted(extra)} not ours`);
  else report('altered', name, 'the rules are in another order, or some are there twice');
}

const counted = (rules: number) => (rules === 1 ? '1 rule is' : `${rules} rules are`);
const versionOf = (state: ListedChain) => state.rules.map((r) => r.comment ?? '').join(' ');

function sameRules(a: ListedChain['rules'], b: ListedChain['rules']): boolean {
  return a.length === b.length && a.every((r, i) => r.text === b[i]?.text && r.comment === b[i]?.comment);
}

/** The layout's version where it is newer than ours, else undefined. */
export function newerVersion(listing: Listing): number | undefined {
  const version = Number(/gwctl\/(\d+)/.exec(versionOf(listing.chains.get(STATE_CHAIN) ?? { rules: [] }))?.[1] ?? 0);
  return version > VERSION ? version : undefined;
}

/** The flows that an element of an own set lets pass. */
export function flowsOf({ set, key }: Pick<OwnWay, 'set' | 'key'>): FlowMatch {
  const family = set.family === 6 ? { family: 6 as const } : {};
  const parts = key.split(' . ');
  if (set.name === 'own-vip') return { ...family, protocol: 'any', address: parts[0] ?? '', to: { address: parts[1] ?? '' } };
  const [really = '', target = '', listened = '', protocol, address] = parts.reverse();
  return {
    ...family,
    protocol: protocol === 'udp' ? 'udp' : 'tcp',
    ...(address === undefined ? {} : { address }),
    ...portMatch(listened),
    to: { address: target, ...portMatch(really) },
  };
}

function portMatch(text: string): { port: number } | { ports: { first: number; last: number } } {
  const [first, last] = text.split('-').map(Number);
  if (first === undefined || last === undefined) return { port: Number(text) };
  return { ports: { first, last } };
}
