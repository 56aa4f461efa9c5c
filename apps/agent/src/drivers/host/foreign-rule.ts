import type { Cidr, Family } from '@gwctl/shared/domain/ip';

/** Both ends included. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

/** What a rule of another tool takes; whatever it asks for beside this is not understood, so it may take less. */
export interface Taken {
  /** IP protocols by number; undefined: every one. */
  readonly protocols?: readonly number[];
  /** Destination ports; undefined: every one, and what has none. */
  readonly ports?: readonly Span[];
  /** Destinations; undefined: every one. */
  readonly to?: readonly Cidr[];
  /** Destinations that are left out. */
  readonly notTo?: readonly Cidr[];
  /** Only what is for the gateway itself. */
  readonly local?: boolean;
  /** Interfaces that packets come in by; undefined: every one. */
  readonly from?: readonly string[];
  readonly notFrom?: readonly string[];
}

/** Where a rule is asked, beside ours. */
export type Place =
  | { readonly kind: 'nft'; readonly priority: number }
  /** `first`: before the jump to our rules in the same chain; undefined where we have none there. */
  | { readonly kind: 'iptables'; readonly variant: 'nft' | 'legacy'; readonly first?: boolean };

/** A rule of another tool that sends packets on to another address or port, as the gateway gets them. */
export interface ForeignRule {
  readonly family: Family;
  /** Table and chain, for people. */
  readonly chain: string;
  /** The rule as its tool writes it, shortened. */
  readonly rule: string;
  readonly place: Place;
  readonly taken: Taken;
}

/** Both: what a rule takes after those before it on the way have let it come so far. Undefined: nothing at all. */
export function narrowed(a: Taken, b: Taken): Taken | undefined {
  const protocols = both(a.protocols, b.protocols, (x, y) => (x === y ? x : undefined));
  const ports = both(a.ports, b.ports, overlap);
  const from = both(a.from, b.from, (x, y) => (x === y ? x : undefined));
  if (protocols?.length === 0 || ports?.length === 0 || from?.length === 0) return undefined;
  // Of two lists of networks the more telling one: both hold.
  const to = narrower(a.to, b.to);
  return {
    ...(protocols ? { protocols } : {}),
    ...(ports ? { ports } : {}),
    ...(from ? { from } : {}),
    ...(to ? { to } : {}),
    ...(a.local || b.local ? { local: true } : {}),
    ...joined('notTo', a.notTo, b.notTo),
    ...joined('notFrom', a.notFrom, b.notFrom),
  };
}

export const overlap = (a: Span, b: Span): Span | undefined => {
  const first = Math.max(a.first, b.first);
  const last = Math.min(a.last, b.last);
  return first <= last ? { first, last } : undefined;
};

function both<T>(a: readonly T[] | undefined, b: readonly T[] | undefined, meet: (x: T, y: T) => T | undefined): T[] | undefined {
  if (!a || !b) return a || b ? [...(a ?? b ?? [])] : undefined;
  return a.flatMap((x) => b.flatMap((y) => meet(x, y) ?? []));
}

const narrower = (a: readonly Cidr[] | undefined, b: readonly Cidr[] | undefined): readonly Cidr[] | undefined => {
  if (!a || !b) return a ?? b;
  const width = (list: readonly Cidr[]) => Math.min(...list.map((c) => c.prefix));
  return width(a) >= width(b) ? a : b;
};

const joined = <K extends string, T>(name: K, a: readonly T[] | undefined, b: readonly T[] | undefined) =>
  (a || b ? { [name]: [...(a ?? []), ...(b ?? [])] } : {}) as { [key in K]?: T[] };
