import { AppError } from '@gwctl/shared/errors/app-error';
import { SET_BY_NAME } from './layout.js';

/** One table as `nft -j list table` prints it, without what changes by itself: handles, counters, order of elements. */
export interface Listing {
  /** Of the table: none of ours has any, and `dormant` switches it off. */
  readonly flags: boolean;
  /** nft could say no more than that it is switched off. */
  readonly unreadable?: boolean;
  readonly chains: ReadonlyMap<string, ListedChain>;
  readonly sets: ReadonlyMap<string, ListedSet>;
  /** Objects of other kinds, for instance `flowtable f`. */
  readonly others: readonly string[];
}

export interface ListedChain {
  /** Type, hook, priority and policy of a hooked chain. */
  readonly hook?: string;
  /** In canonical form, in order. */
  readonly rules: readonly ListedRule[];
}

export interface ListedRule {
  readonly text: string;
  readonly comment?: string;
}

export interface ListedSet {
  /** Everything but name and elements, in canonical form. */
  readonly declaration: string;
  /** Of the sets of our layout: suffix by key, both as nft reads them. */
  readonly elements: ReadonlyMap<string, string>;
}

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = { readonly [key: string]: Json };

/** Of objects: told by the place, or different with each load. */
const IDENTITY = new Set(['family', 'table', 'name', 'handle', 'elem']);

/**
 * Reads the output of `nft -j list table ip NAME`; undefined where it lists no table. Lenient: versions differ in details, so rules and
 * declarations are compared with what the same nft prints for ours. Throws NFT_UNREADABLE for what cannot be made sense of.
 */
export function parseListing(text: string, name: string): Listing | undefined {
  const chains = new Map<string, { hook?: string; rules: ListedRule[] }>();
  const sets = new Map<string, ListedSet>();
  const others: string[] = [];
  let flags: boolean | undefined;
  for (const [kind, object] of parseObjects(text)) {
    if (kind === 'table') {
      if (object.name === name) flags = object.flags !== undefined;
    } else if (object.table !== name) continue;
    else if (kind === 'chain') chains.set(String(object.name), { ...hookOf(object), rules: [] });
    else if (kind === 'rule')
      chains.get(String(object.chain))?.rules.push({
        text: canonical(object.expr ?? null),
        ...(typeof object.comment === 'string' ? { comment: object.comment } : {}),
      });
    else if (kind === 'set' || kind === 'map') sets.set(String(object.name), listedSet(kind, object));
    else others.push(`${kind} ${String(object.name)}`);
  }
  return flags === undefined ? undefined : { flags, chains, sets, others };
}

/** nft 1.0.6 prints garbage where a table has flags, and then often ends; this stands for such a table. */
export const DORMANT: Listing = { flags: true, unreadable: true, chains: new Map(), sets: new Map(), others: [] };

/** Whether `nft list table`, as text, says that the table is switched off. */
export const saysDormant = (text: string): boolean => /^\s*flags\b.*\bdormant\b/m.test(text);

/** The objects of `nft -j`, each with its kind. */
export function parseObjects(text: string): [string, JsonObject][] {
  let document: Json;
  try {
    document = JSON.parse(text) as Json;
  } catch (cause) {
    throw unreadable(text, cause);
  }
  const list = isObject(document) ? document.nftables : undefined;
  if (!isList(list)) throw unreadable(text);
  return list.map((entry) => {
    const [kind, object] = isObject(entry) ? (Object.entries(entry)[0] ?? []) : [];
    if (kind === undefined || !isObject(object)) throw unreadable(JSON.stringify(entry));
    return [kind, object];
  });
}

function hookOf(chain: JsonObject): { hook?: string } {
  return chain.hook === undefined ? {} : { hook: [chain.type, chain.hook, chain.prio, chain.policy].map(String).join(' ') };
}

function listedSet(kind: string, object: JsonObject): ListedSet {
  const declared = Object.fromEntries(Object.entries(object).filter(([key]) => !IDENTITY.has(key)));
  const spec = SET_BY_NAME.get(String(object.name));
  const elements = new Map<string, string>();
  const list = spec && isList(object.elem) ? object.elem : [];
  for (const element of list) {
    const [key, data] = kind === 'map' && isList(element) ? element : [element];
    const inner = isObject(key) && isObject(key.elem) ? key.elem : undefined;
    const comment = typeof inner?.comment === 'string' ? ` comment "${inner.comment}"` : '';
    const value = data === undefined ? '' : ` : ${valueText(data)}`;
    elements.set(keyText(inner?.val ?? key ?? null, spec?.types ?? []), `${comment}${value}`);
  }
  return { declaration: `${kind} ${canonical(declared)}`, elements };
}

function keyText(key: Json, types: readonly string[]): string {
  const parts = isObject(key) && isList(key.concat) ? key.concat : [key];
  // nft prints interface names without the quotes that it wants to read.
  return parts.map((part, i) => (types[i] === 'ifname' ? `"${String(part)}"` : partText(part))).join(' . ');
}

function valueText(value: Json): string {
  if (isObject(value)) {
    const [verdict, to] = Object.entries(value)[0] ?? [];
    if (verdict !== 'concat' && isObject(to)) return `${verdict} ${String(to.target)}`;
    if (verdict !== 'concat' && to === null) return verdict ?? '';
  }
  return keyText(value, []);
}

function partText(part: Json): string {
  if (typeof part === 'string' || typeof part === 'number') return String(part);
  if (isObject(part)) {
    const { prefix, range } = part;
    if (isObject(prefix)) return `${String(prefix.addr)}/${String(prefix.len)}`;
    if (isList(range)) return range.map(String).join('-');
  }
  return canonical(part);
}

/** Without counters' values, keys and anonymous sets in order. */
export function canonical(value: Json): string {
  return JSON.stringify(ordered(value));
}

function ordered(value: Json, under?: string): Json {
  if (isList(value)) {
    const items = value.map((v) => ordered(v));
    return under === 'set' ? items.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : items;
  }
  if (!isObject(value)) return value;
  if ('counter' in value) return { counter: null };
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, v]) => [key, ordered(v, key)]),
  );
}

const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);
const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const unreadable = (text: string, cause?: unknown) =>
  new AppError({
    code: 'INTERNAL',
    reason: 'NFT_UNREADABLE',
    message: `nft printed something that gwctl does not understand: ${JSON.stringify(text.slice(0, 120))}`,
    cause,
  });
