import type { OnChange } from '@gwctl/shared/domain/forward';
import { type Cidr, type Family, parseCidr } from '@gwctl/shared/domain/ip';
import type { PortRange } from '@gwctl/shared/domain/ports';
import type { PlacedForward, PlacedTarget } from '../../planner/types.js';
import { allowChain, keyOfRule } from './layout.js';
import type { FamilyObserved } from './observe.js';

/** Where a forward's flows go: what the listener's first port goes to, or undefined for the same ports, or for none at all. */
export interface CarriedTarget {
  readonly address: string;
  readonly port?: number;
}

/** A forward as far as its change means something to existing flows. */
export interface CarriedForward {
  readonly key: string;
  readonly protocols: readonly ('tcp' | 'udp' | 'all')[];
  /** Undefined: every address of the gateway. */
  readonly address?: string;
  readonly ports?: PortRange;
  readonly targets: readonly CarriedTarget[];
  /** Left out because they are down. */
  readonly down: readonly CarriedTarget[];
  readonly onChange: OnChange;
  /** Undefined: anyone. */
  readonly allow?: readonly Cidr[];
  /** `masquerade`, `none` or the fixed address. */
  readonly source: string;
}

export function placedAsCarried(f: PlacedForward): CarriedForward {
  const { address, protocol, ports } = f.listen;
  return {
    key: f.key,
    protocols: protocol === 'tcp+udp' ? ['tcp', 'udp'] : [protocol],
    ...(address ? { address: address.text } : {}),
    ...(ports ? { ports } : {}),
    targets: f.targets.map(carriedTarget),
    down: (f.down ?? []).map(carriedTarget),
    onChange: f.onChange,
    ...(f.allow ? { allow: f.allow } : {}),
    source: f.snat.mode === 'address' ? f.snat.address.text : f.snat.mode,
  };
}

const carriedTarget = ({ address, port }: PlacedTarget): CarriedTarget => ({
  address: address.text,
  ...(port === undefined ? {} : { port }),
});

/**
 * Those of the forwards with these keys that are in place. Where it is known what was applied, from there; else from the rules
 * themselves, and one whose rules were changed beyond recognition is left out.
 */
export function carriedForwards(observed: FamilyObserved, keys: ReadonlySet<string>): ReadonlyMap<string, CarriedForward> {
  const carried = new Map<string, CarriedForward>();
  if (keys.size === 0) return carried;
  if (observed.as) {
    for (const key of keys) {
      const forward = observed.as.forwards.get(key);
      if (forward) carried.set(key, placedAsCarried(forward));
    }
    return carried;
  }
  for (const [key, rules] of rulesByKey(observed, keys)) {
    const forward = readForward(key, rules, observed);
    if (forward) carried.set(key, forward);
  }
  return carried;
}

function rulesByKey({ tables: { nat } }: FamilyObserved, keys: ReadonlySet<string>): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { rules } of nat.chains.values())
    for (const rule of rules) {
      const key = keyOfRule(rule);
      if (key === undefined || !keys.has(key)) continue;
      const some = found.get(key);
      if (some) some.push(rule);
      else found.set(key, [rule]);
    }
  return found;
}

/** Of the layout before this one, a listener stood in a rule of its own, `dispatch`. */
const LISTENER_RULE =
  /^(?:-d (\S+)\/\d+ )?(?:-i \S+ )?(?:-p (tcp|udp) )?(?:-m addrtype --dst-type LOCAL )?(?:-m \S+ --dport (\d+)(?::(\d+))? )?.*:(?:mark:(?:drain|cut|keep)|dispatch)"/;

function readForward(
  key: string,
  rules: readonly string[],
  { family, tables: { mangle } }: FamilyObserved,
): CarriedForward | undefined {
  // A rule that matches everything is no listener.
  const listeners = rules.map((r) => LISTENER_RULE.exec(r)).filter((m) => m !== null && (m[1] ?? m[2]) !== undefined);
  const [first] = listeners;
  const onChange = rules.map((r) => /:mark:(drain|cut|keep)"/.exec(r)?.[1]).find((word) => word !== undefined);
  if (!first || onChange === undefined) return undefined;
  const [, address, , from, to] = first;
  const ports = from === undefined ? undefined : ({ first: Number(from), last: Number(to ?? from) } as PortRange);
  const targets = rules.flatMap((r) => readTarget(r, ports?.first) ?? []);
  if (targets.length === 0) return undefined;
  const fixed = rules.map((r) => / -j SNAT --to-source (\S+) /.exec(r)?.[1]).find((a) => a !== undefined);
  const allow = mangle.chains.get(allowChain(key))?.rules;
  return {
    key,
    protocols: listeners.map((m) => (m?.[2] as 'tcp' | 'udp' | undefined) ?? 'all'),
    ...(address === undefined ? {} : { address }),
    ...(ports ? { ports } : {}),
    targets: [...new Map(targets.map((t) => [`${t.address} ${t.port ?? ''}`, t])).values()],
    down: [],
    onChange: onChange as OnChange,
    ...(allow ? { allow: readAllow(allow, family) } : {}),
    source: fixed ?? (rules.some((r) => /:(?:kept|self)"/.test(r)) ? 'none' : 'masquerade'),
  };
}

/** `same`: the port where none is written. */
function readTarget(rule: string, same: number | undefined): CarriedTarget | undefined {
  const text = / -j DNAT --to-destination (\S+)$/.exec(rule)?.[1];
  if (text === undefined) return undefined;
  const [, six, four, written] = /^(?:\[(.+)\]|([\d.]+)):(\d+)/.exec(text) ?? [];
  const port = written === undefined ? same : Number(written);
  return { address: six ?? four ?? text, ...(port === undefined ? {} : { port }) };
}

function readAllow(rules: readonly string[], family: Family): Cidr[] {
  return rules.flatMap((rule) => {
    if (!rule.includes(':allow"')) return [];
    const cidr = parseCidr(/^-s (\S+) /.exec(rule)?.[1] ?? (family === 6 ? '::/0' : '0.0.0.0/0'));
    return cidr.ok ? [cidr.value] : [];
  });
}
