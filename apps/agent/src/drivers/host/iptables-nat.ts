import { type Cidr, type Family, parseCidr } from '@gwctl/shared/domain/ip';
import { type ForeignRule, narrowed, type Span, type Taken } from './foreign-rule.js';

/** Chains of ours, which are no other tool's. */
const OURS = /^GWCTL-/;
/** Deeper than any tool nests, and an end to chains that lead to each other. */
const DEPTH = 16;
const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  dccp: 33,
  icmpv6: 58,
  'ipv6-icmp': 58,
  sctp: 132,
};

/** Rules that `iptables-VARIANT-save -t nat` prints, as far as packets that come in can meet them. */
export function iptablesNat(options: {
  readonly text: string;
  readonly family: Family;
  readonly variant: 'nft' | 'legacy';
}): ForeignRule[] {
  const { text, family, variant } = options;
  const chains = new Map<string, string[]>();
  for (const [, chain = '', rule = ''] of text.matchAll(/^-A (\S+) (.*)$/gm))
    if (!OURS.test(chain)) {
      const rules = chains.get(chain);
      if (rules) rules.push(rule);
      else chains.set(chain, [rule]);
    }
  const entry = chains.get('PREROUTING') ?? [];
  const jump = entry.findIndex((rule) => OURS.test(verdictOf(rule) ?? ''));
  const found: ForeignRule[] = [];
  const walk = (chain: string, rules: readonly string[], so: Taken, first: boolean | undefined, depth: number): void => {
    rules.forEach((rule, i) => {
      const taken = narrowed(so, takenBy(rule, family));
      const verdict = verdictOf(rule);
      if (!taken || verdict === undefined) return;
      const before = depth === 0 ? (jump < 0 ? undefined : i < jump) : first;
      if (verdict === 'DNAT' || verdict === 'REDIRECT')
        found.push({
          family,
          chain: `${family === 4 ? 'iptables' : 'ip6tables'}-${variant} nat/${chain}`,
          rule: `-A ${chain} ${rule}`.slice(0, 200),
          place: { kind: 'iptables', variant, ...(before === undefined ? {} : { first: before }) },
          taken,
        });
      else if (depth < DEPTH && !OURS.test(verdict)) walk(verdict, chains.get(verdict) ?? [], taken, before, depth + 1);
    });
  };
  walk('PREROUTING', entry, {}, undefined, 0);
  return found;
}

const verdictOf = (rule: string): string | undefined => /(?:^| )-[jg] (\S+)/.exec(rule)?.[1];

function takenBy(rule: string, family: Family): Taken {
  const option = (name: string) => new RegExp(`(?:^| )(! )?${name} (\\S+)`).exec(rule);
  const [, notTo, to] = option('-d') ?? [];
  const [, notFrom, from] = option('-i') ?? [];
  const [, notProtocol, protocol] = option('-p') ?? [];
  const number = protocol === undefined || notProtocol ? undefined : (PROTOCOLS[protocol] ?? Number(protocol));
  const [, notPort, port] = option('--dports?') ?? [];
  const spans = port === undefined || notPort ? undefined : port.split(',').map(spanOf);
  const cidr = to === undefined ? undefined : network(to, family);
  return {
    ...(number === undefined || Number.isNaN(number) ? {} : { protocols: [number] }),
    ...(spans?.every((s) => s !== undefined) ? { ports: spans } : {}),
    ...(cidr === undefined ? {} : notTo ? { notTo: [cidr] } : { to: [cidr] }),
    // A name that ends with + stands for many; which ones is not worth knowing.
    ...(from === undefined || from.endsWith('+') ? {} : notFrom ? { notFrom: [from] } : { from: [from] }),
    ...(/--dst-type LOCAL/.test(rule) && !/! --dst-type/.test(rule) ? { local: true } : {}),
  };
}

function spanOf(text: string): Span | undefined {
  const [first, last = first] = text.split(':').map(Number);
  return first === undefined || last === undefined || Number.isNaN(first + last) ? undefined : { first, last };
}

function network(text: string, family: Family): Cidr | undefined {
  const parsed = parseCidr(text);
  return parsed.ok && parsed.value.family === family ? parsed.value : undefined;
}
