import type { Family } from '@gwctl/shared/domain/ip';
import { isList, isObject, type Json, type JsonObject } from '../../system/nft-json.js';
import { canonical } from './canonical.js';
import { isPool } from './chains.js';
import { eachObject } from './nft-objects.js';
import type { Patch, Patches } from './observe.js';
import { poolText } from './pool-text.js';
import { findSet, POOL_CHAINS, SETS, type SetSpec, WORDS } from './sets.js';

/** One table as `nft -j list table` prints it, without what changes by itself: handles, counters, order of elements. */
export interface Listing {
  /** Of the table: none of ours has any, and `dormant` switches it off. */
  readonly flags: boolean;
  /** nft could say no more than that it is switched off. */
  readonly unreadable?: boolean;
  readonly chains: ReadonlyMap<string, ListedChain>;
  /** Of each set, everything but name and elements, in canonical form. */
  readonly declarations: ReadonlyMap<string, string>;
  /** How the elements differ from what was expected. */
  readonly patch: Patches;
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

/** What sets are expected to hold. */
export interface Expected {
  /** How many elements in all. */
  readonly size: number;
  /** Suffix by key, of one set; the caller's own, which is used up. */
  take(set: SetSpec): Map<string, string> | undefined;
}

export const NOTHING_EXPECTED: Expected = { size: 0, take: () => undefined };

/** Of objects: told by the place, or different with each load. */
const IDENTITY = new Set(['family', 'table', 'name', 'handle', 'elem']);

/**
 * Reads the output of `nft -j list table FAMILY NAME`; undefined where it lists no table. Lenient: versions differ in details, so rules
 * and declarations are compared with what the same nft prints for ours. Of elements only those that differ from `expected` are kept:
 * tens of thousands are not worth having twice. Throws NFT_UNREADABLE for what cannot be made sense of.
 */
export function parseListing(
  text: string,
  options: {
    readonly family: Family;
    readonly name: string;
    readonly expected: Expected;
    /** The elements were read elsewhere, and this is what they came to. */
    readonly elements?: Patching;
  },
): Listing | undefined {
  const { family, name, expected } = options;
  const chains = new Map<string, { hook?: string; rules: ListedRule[] }>();
  const declarations = new Map<string, string>();
  const patches = options.elements ?? new Patching(family, expected);
  const others: string[] = [];
  let flags: boolean | undefined;
  for (const [kind, object] of eachObject(text)) {
    if (kind === 'table') {
      if (object.name === name && object.family === WORDS[family].ip) flags = object.flags !== undefined;
    } else if (object.table !== name || object.family !== WORDS[family].ip) continue;
    else if (kind === 'chain') chains.set(String(object.name), { ...hookOf(object), rules: [] });
    else if (kind === 'rule') {
      const chain = String(object.chain);
      const expr = object.expr ?? null;
      chains.get(chain)?.rules.push({
        text: isPool(chain) ? poolText(expr) : canonical(expr),
        ...(typeof object.comment === 'string' ? { comment: object.comment } : {}),
      });
    } else if (kind === 'set' || kind === 'map') {
      const declared = Object.fromEntries(Object.entries(object).filter(([key]) => !IDENTITY.has(key)));
      declarations.set(String(object.name), `${kind} ${canonical(declared)}`);
      const spec = findSet(family, String(object.name));
      if (spec && !options.elements) patches.put(spec, elementsOf(object, spec));
    } else others.push(`${kind} ${String(object.name)}`);
  }
  if (flags === undefined) return undefined;
  const pools = [...chains].filter(([chain]) => isPool(chain));
  patches.put(
    POOL_CHAINS[family],
    pools.map(([chain, { rules }]) => [chain, rules.map((r) => r.text).join('\n')]),
  );
  return { flags, chains, declarations, patch: patches.finished(), others };
}

/** nft 1.0.6 prints garbage where a table has flags, and then often ends; this stands for such a table. */
export const DORMANT: Listing = {
  flags: true,
  unreadable: true,
  chains: new Map(),
  declarations: new Map(),
  patch: new Map(),
  others: [],
};

/** Whether `nft list table`, as text, says that the table is switched off. */
export const saysDormant = (text: string): boolean => /^\s*flags\b.*\bdormant\b/m.test(text);

/** Puts together how what is there differs from what was expected. */
export class Patching {
  readonly #family: Family;
  readonly #expected: Expected;
  readonly #patches = new Map<SetSpec, Map<string, Patch>>();
  readonly #seen = new Set<SetSpec>();

  constructor(family: Family, expected: Expected) {
    this.#family = family;
    this.#expected = expected;
  }

  /** All that is in a set. */
  put(set: SetSpec, elements: Iterable<readonly [string, string]>): void {
    const { take, end } = this.begin(set);
    for (const [key, is] of elements) take(key, is);
    end();
  }

  /** The same, one by one. */
  begin(set: SetSpec): { readonly take: (key: string, is: string) => void; readonly end: () => void } {
    this.#seen.add(set);
    const expected = this.#expected.take(set);
    const patch = new Map<string, Patch>();
    return {
      take: (key, is) => {
        const was = expected?.get(key);
        if (was === undefined) patch.set(key, { is });
        else if (was !== is) patch.set(key, { is, was });
        expected?.delete(key);
      },
      end: () => {
        for (const [key, was] of expected ?? []) patch.set(key, { was });
        if (patch.size > 0) this.#patches.set(set, patch);
      },
    };
  }

  /** Sets that were not there have lost what was expected in them. */
  finished(): Patches {
    for (const set of SETS[this.#family]) if (!this.#seen.has(set)) this.put(set, []);
    return this.#patches;
  }
}

function hookOf(chain: JsonObject): { hook?: string } {
  return chain.hook === undefined ? {} : { hook: [chain.type, chain.hook, chain.prio, chain.policy].map(String).join(' ') };
}

function* elementsOf(object: JsonObject, { types, data }: SetSpec): Generator<readonly [string, string]> {
  for (const element of isList(object.elem) ? object.elem : []) {
    const [key, value] = data !== undefined && isList(element) ? element : [element];
    const inner = isObject(key) && isObject(key.elem) ? key.elem : undefined;
    const comment = typeof inner?.comment === 'string' ? [' comment "', inner.comment, '"'] : [];
    const text = value === undefined ? [] : [' : ', valueText(value)];
    yield [keyText(inner?.val ?? key ?? null, types), [...comment, ...text].join('')];
  }
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
