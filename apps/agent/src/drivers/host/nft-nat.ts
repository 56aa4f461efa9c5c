import { type Cidr, type Family, networkOf, parseCidr, parseIp } from '@gwctl/shared/domain/ip';
import { type ForeignRule, narrowed, type Span, type Taken } from './foreign-rule.js';

/** Deeper than any tool nests, and an end to chains that lead to each other. */
const DEPTH = 16;
/** Of one map; of longer ones the rest is passed over. */
const MOST_ELEMENTS = 10_000;
const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, dccp: 33, 'ipv6-icmp': 58, sctp: 132 };

type Json = Readonly<Record<string, unknown>>;

/** A chain of nat in the prerouting hook. */
export interface NatChain {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly priority: number;
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

function objects(text: string, kind: string): Json[] {
  const parsed: unknown = JSON.parse(text);
  const list = isObject(parsed) && Array.isArray(parsed.nftables) ? (parsed.nftables as unknown[]) : [];
  return list.flatMap((entry) => (isObject(entry) && isObject(entry[kind]) ? [entry[kind]] : []));
}

/** Chains of others, of the output of `nft -j list chains`. */
export function natChains(text: string, ours: (table: string) => boolean): NatChain[] {
  return objects(text, 'chain').flatMap((chain) => {
    const { family, table, name, type, hook, prio } = chain;
    if (type !== 'nat' || hook !== 'prerouting' || typeof table !== 'string' || ours(table)) return [];
    if (family !== 'ip' && family !== 'ip6' && family !== 'inet') return [];
    return [{ family, table, chain: String(name), priority: Number(prio) }];
  });
}

/** Rules of the output of `nft -j list table`, as far as packets that come in can meet them. */
export function nftNat(text: string, entries: readonly NatChain[]): ForeignRule[] {
  const table = new Table(text);
  return entries.flatMap((entry) => {
    const families: readonly Family[] = entry.family === 'inet' ? [4, 6] : [entry.family === 'ip6' ? 6 : 4];
    return families.flatMap((family) => table.walk(entry, family));
  });
}

/** Where a packet may go on to, and which packets do. */
interface Way {
  readonly taken: Taken;
  readonly verdict: 'nat' | { readonly chain: string };
}

class Table {
  readonly #rules: ReadonlyMap<string, readonly Json[]>;
  readonly #maps: ReadonlyMap<string, readonly unknown[]>;

  constructor(text: string) {
    this.#rules = Map.groupBy(objects(text, 'rule'), (rule) => String(rule.chain));
    const named = [...objects(text, 'map'), ...objects(text, 'set')];
    this.#maps = new Map(named.map((m) => [`@${String(m.name)}`, Array.isArray(m.elem) ? m.elem : []]));
  }

  walk(entry: NatChain, family: Family): ForeignRule[] {
    const found: ForeignRule[] = [];
    const visit = (chain: string, so: Taken, depth: number): void => {
      for (const rule of this.#rules.get(chain) ?? [])
        for (const { taken, verdict } of this.#ways(rule, so, family)) {
          if (verdict !== 'nat') {
            if (depth < DEPTH) visit(verdict.chain, taken, depth + 1);
            continue;
          }
          found.push({
            family,
            chain: `nft ${entry.family} ${entry.table} ${chain}`,
            rule: ruleText(rule),
            place: { kind: 'nft', priority: entry.priority },
            taken,
          });
        }
    };
    visit(entry.chain, {}, 0);
    return found;
  }

  #ways(rule: Json, so: Taken, family: Family): Way[] {
    let taken: Taken | undefined = so;
    const expressions = Array.isArray(rule.expr) ? (rule.expr as unknown[]) : [];
    for (const expression of expressions) {
      if (!isObject(expression) || !taken) return [];
      const match = expression.match;
      if (isObject(match)) taken = narrowed(taken, this.#matched(match, family));
      else if ('dnat' in expression || 'redirect' in expression) return this.#nat(expression, taken, family);
      else if ('vmap' in expression) return this.#verdicts(expression.vmap, taken, family);
      else {
        const chain = target(expression);
        if (chain !== undefined) return [{ taken, verdict: { chain } }];
      }
    }
    return [];
  }

  #matched(match: Json, family: Family): Taken {
    const field = fieldOf(match.left);
    if (field === undefined || (match.op !== '==' && match.op !== 'in' && match.op !== '!=')) return {};
    return constraint(field, this.#values(match.right), match.op === '!=', family);
  }

  #nat(expression: Json, taken: Taken, family: Family): Way[] {
    const to = expression.dnat;
    const family6 = isObject(to) && typeof to.family === 'string' ? (to.family === 'ip6' ? 6 : 4) : family;
    if (family6 !== family) return [];
    const map = isObject(to) && isObject(to.addr) ? to.addr.map : undefined;
    if (!isObject(map)) return [{ taken, verdict: 'nat' }];
    return this.#mapped(map, taken, family).map((m) => ({ taken: m.taken, verdict: 'nat' }));
  }

  #verdicts(vmap: unknown, taken: Taken, family: Family): Way[] {
    if (!isObject(vmap)) return [];
    return this.#mapped(vmap, taken, family).flatMap(({ taken: own, value }) => {
      const chain = isObject(value) ? target(value) : undefined;
      return chain === undefined ? [] : [{ taken: own, verdict: { chain } }];
    });
  }

  /** What the elements of a map take, and what they give. */
  #mapped(map: Json, taken: Taken, family: Family): { readonly taken: Taken; readonly value: unknown }[] {
    const fields = keysOf(map.key);
    return this.#values(map.data)
      .slice(0, MOST_ELEMENTS)
      .flatMap((element) => {
        if (!Array.isArray(element)) return [];
        const parts = partsOf(element[0]);
        let own: Taken | undefined = taken;
        fields.forEach((field, i) => {
          if (field !== undefined && own) own = narrowed(own, constraint(field, [parts[i]], false, family));
        });
        return own ? [{ taken: own, value: element[1] as unknown }] : [];
      });
  }

  #values(value: unknown): readonly unknown[] {
    if (typeof value === 'string' && value.startsWith('@')) return this.#maps.get(value) ?? [];
    if (isObject(value) && Array.isArray(value.set)) return value.set as unknown[];
    return Array.isArray(value) ? (value as unknown[]) : [value];
  }
}

type Field = 'protocol' | 'tcp-port' | 'udp-port' | 'port' | 'to' | 'local' | 'from';

const keysOf = (key: unknown): (Field | undefined)[] =>
  isObject(key) && Array.isArray(key.concat) ? (key.concat as unknown[]).map(fieldOf) : [fieldOf(key)];

function partsOf(element: unknown): readonly unknown[] {
  const plain = isObject(element) && isObject(element.elem) ? element.elem.val : element;
  return isObject(plain) && Array.isArray(plain.concat) ? (plain.concat as unknown[]) : [plain];
}

function fieldOf(left: unknown): Field | undefined {
  if (!isObject(left)) return undefined;
  const { payload, meta, fib } = left;
  if (isObject(payload)) {
    const { protocol, field } = payload;
    if (field === 'dport') return protocol === 'tcp' ? 'tcp-port' : protocol === 'udp' ? 'udp-port' : 'port';
    if (field === 'daddr' && (protocol === 'ip' || protocol === 'ip6')) return 'to';
    return field === 'protocol' || field === 'nexthdr' ? 'protocol' : undefined;
  }
  if (isObject(meta)) return meta.key === 'l4proto' ? 'protocol' : meta.key === 'iifname' ? 'from' : undefined;
  if (isObject(fib) && fib.result === 'type' && JSON.stringify(fib.flags).includes('daddr')) return 'local';
  return undefined;
}

function constraint(field: Field, values: readonly unknown[], negated: boolean, family: Family): Taken {
  switch (field) {
    case 'local':
      return !negated && values.includes('local') ? { local: true } : {};
    case 'from': {
      const names = values.map(String).filter((name) => !name.endsWith('*'));
      if (names.length < values.length) return {};
      return negated ? { notFrom: names } : { from: names };
    }
    case 'to': {
      const networks = values.flatMap((v) => networksOf(v, family));
      if (networks.length < values.length) return {};
      return negated ? { notTo: networks } : { to: networks };
    }
    case 'protocol': {
      const numbers = values.map((v) => (typeof v === 'number' ? v : (PROTOCOLS[String(v)] ?? Number.NaN)));
      return negated || numbers.some(Number.isNaN) ? {} : { protocols: numbers };
    }
    default: {
      const protocols = field === 'tcp-port' ? { protocols: [6] } : field === 'udp-port' ? { protocols: [17] } : {};
      const ports = values.flatMap((v) => spanOf(v) ?? []);
      return { ...protocols, ...(negated || ports.length < values.length ? {} : { ports }) };
    }
  }
}

function spanOf(value: unknown): Span | undefined {
  if (typeof value === 'number') return { first: value, last: value };
  const range = isObject(value) ? value.range : undefined;
  if (!Array.isArray(range)) return undefined;
  const [first, last] = range as unknown[];
  return typeof first === 'number' && typeof last === 'number' ? { first, last } : undefined;
}

function networksOf(value: unknown, family: Family): Cidr[] {
  if (typeof value === 'string') {
    const parsed = parseIp(value);
    return parsed.ok && parsed.value.family === family ? [networkOf(parsed.value, family === 4 ? 32 : 128)] : [];
  }
  const prefix = isObject(value) ? value.prefix : undefined;
  if (!isObject(prefix)) return [];
  const parsed = parseCidr(`${String(prefix.addr)}/${String(prefix.len)}`);
  return parsed.ok ? [parsed.value] : [];
}

function target(verdict: Json): string | undefined {
  const jump = verdict.jump ?? verdict.goto;
  return isObject(jump) && typeof jump.target === 'string' ? jump.target : undefined;
}

/** For people, who find the rule by its handle. */
function ruleText(rule: Json): string {
  const comment = typeof rule.comment === 'string' ? ` "${rule.comment}"` : '';
  return `handle ${String(rule.handle)}${comment}: ${JSON.stringify(rule.expr)}`.slice(0, 200);
}
