/** The static rules of one table. The README beside this file draws the packet's path. */
import type { Family } from '@gwctl/shared/domain/ip';
import { INPUT_MARKED, MARKED } from '../../filters/filters.js';
import {
  CLAMP_KINDS,
  type ClampKind,
  FLOW_KINDS,
  type FlowKind,
  flowMatch,
  listenerMatch,
  PLACES,
  type Place,
  PORT_PLACES,
  type PortPlace,
  WORDS,
} from './sets.js';

/** Where a chain is hooked into the kernel. */
export interface Hook {
  readonly type: 'filter' | 'nat';
  readonly hook: 'prerouting' | 'input' | 'output' | 'forward' | 'postrouting';
  readonly priority: number;
}

export interface ChainSpec {
  readonly name: string;
  readonly hook?: Hook;
  readonly rules: readonly string[];
}

/** The connection tracking helper of our table. */
export const FTP_HELPER = 'ftp-listener';
/** Empty where the host forwards for others too; otherwise it holds {@link CLOSED_RULE}. */
export const CLOSED_CHAIN = 'closed';
export const CLOSED_RULE = 'counter drop';
export const OPEN_CHAIN = 'open';
export const STATE_CHAIN = 'state';
export const guardedChain = (place: Place): string => `guarded-${place}`;
/** One chain for each forward with several targets. */
export const POOL_PREFIX = 'pool/';

const BIT = '0x1000000';
const PACKET = `meta mark set meta mark or ${BIT}`;
/** Connection tracking remembers it too: so are data connections known that a helper expects, and the other drivers know our flows by it. */
const OURS = `${PACKET} ct mark set ct mark or ${BIT} accept`;
const join = (fields: readonly string[]) => fields.join(' . ');
/** nft 1.0.6 knows the size of ct's ports only after a match on the protocol in the same rule. */
const TRANSLATED = 'ct status dnat ct original protocol { tcp, udp }';

/**
 * Priorities are unique on purpose: of chains with the same one, that which was registered last runs first. So ours come before those
 * of iptables and other tools (-100, 0 and 100) whoever starts first.
 */
export function chains(family: Family, options: { readonly ftp: boolean; readonly version: string }): readonly ChainSpec[] {
  return [
    ...guards(family),
    ...dispatch(family),
    ...sources(family),
    ...(options.ftp ? helpers(family) : []),
    ...hooks(family),
    ...relayed(family),
    // Not a comment of the table: the kernel ignores the comment of a table that is added again.
    { name: STATE_CHAIN, rules: [`return comment "${options.version}"`] },
  ];
}

const listener = (family: Family, place: Place) => join(listenerMatch(family, place).fields);
const flow = (family: Family, kind: FlowKind | ClampKind) => join(flowMatch(family, kind).fields);
const translated = (kind: FlowKind | ClampKind) => (kind === 'vip' ? 'ct status dnat' : TRANSLATED);

/** Neighbour discovery is no traffic of a forward, though it is sent to the same address. */
const NEIGHBOURS =
  'icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect } return';
/** A neighbour's own address means something on its link only, and no answer would ever find back. */
const LINK_LOCAL = 'ip6 saddr fe80::/10 return';

/** What the gateway itself answers, before any forward. */
const guarded = (family: Family): string[] => [
  ...(family === 6 ? [LINK_LOCAL] : []),
  `${listener(family, 'at')} @protected-at return`,
  // An address that is announced is the gateway's for its neighbours only; what listens there is the target's.
  `fib daddr type local ${WORDS[family].ip} daddr != @announced ${listener(family, 'any')} @protected-any return`,
];

/** Allow-lists, before addresses are rewritten. */
function guards(family: Family): ChainSpec[] {
  const { ip } = WORDS[family];
  // An out-of-window segment is not rewritten, reaches the local stack, and its RST would end the client's connection.
  const stray = 'meta l4proto tcp ct state invalid counter drop';
  const icmp = family === 4 ? 'icmp' : 'ipv6-icmp';
  const look = (place: Place) =>
    (place === 'vip' || place === 'if-vip' ? [place] : ([place, `${place}-range`] as const)).flatMap((kind) => [
      `${listener(family, place)} @limit-${kind} goto ${guardedChain(place)}`,
      `${listener(family, place)} @listen-${kind} goto ${OPEN_CHAIN}`,
    ]);
  return [
    { name: OPEN_CHAIN, rules: [stray] },
    ...PLACES.map((place) => ({
      name: guardedChain(place),
      rules: [
        stray,
        // Errors about a flow come from any router on its way.
        ...(place.endsWith('vip') ? [`meta l4proto ${icmp} ct state related return`] : []),
        `${listener(family, place)} . ${ip} saddr @allowed-${place} return`,
        'fib saddr type local return',
        `${listener(family, place)} @refused-${place} drop`,
        'counter drop',
      ],
    })),
    // The same of a target: the RST of the local stack would end its side.
    {
      name: 'strays',
      rules: [`${ip} saddr . tcp sport @answers counter drop`, `${ip} saddr @answers-any counter drop`],
    },
    { name: 'listeners-any', rules: [...look('any'), ...look('if-any')] },
    {
      name: 'listeners',
      rules: [
        // What comes back to a client of the gateway's own is no request to the listener.
        'ct direction reply return',
        'meta l4proto tcp ct state invalid fib daddr type local jump strays',
        ...(family === 6 ? [NEIGHBOURS] : []),
        ...guarded(family),
        ...look('at'),
        ...look('if-at'),
        ...look('vip'),
        ...look('if-vip'),
        // Without it, transit traffic to the same port of other hosts would be taken.
        'fib daddr type local jump listeners-any',
      ],
    },
  ];
}

/** Where new flows go. */
function dispatch(family: Family): ChainSpec[] {
  const send = (place: PortPlace) => [
    `meta l4proto { tcp, udp } dnat to ${listener(family, place)} map @to-${place}`,
    `${listener(family, place)} vmap @pool-${place}`,
    `meta l4proto { tcp, udp } dnat to ${listener(family, place)} map @to-${place}-range`,
    `${listener(family, place)} vmap @pool-${place}-range`,
  ];
  return [
    { name: 'dispatch-any', rules: [...send('any'), ...send('if-any')] },
    {
      name: 'dispatch',
      rules: [
        ...(family === 6 ? [NEIGHBOURS] : []),
        ...guarded(family),
        ...send('at'),
        ...send('if-at'),
        `dnat to ${listener(family, 'vip')} map @to-vip`,
        `dnat to ${listener(family, 'if-vip')} map @to-if-vip`,
        'fib daddr type local jump dispatch-any',
      ],
    },
  ];
}

/** Which source address new flows get. */
function sources(family: Family): ChainSpec[] {
  const { ip } = WORDS[family];
  const way = `oifname . ${ip} saddr`;
  return [
    // Source ports are chosen at random: the kernel's own choice races between processors and then drops the packet.
    { name: 'masq', rules: ['masquerade fully-random'] },
    // The client's address is kept, except where the target would answer past the gateway.
    { name: 'kept', rules: ['fib saddr type local goto masq', `${ip} saddr . ${ip} daddr @hairpin goto masq`] },
    {
      name: 'post-nat',
      hook: { type: 'nat', hook: 'postrouting', priority: 95 },
      rules: [
        ...FLOW_KINDS.flatMap((kind) => {
          const key = flow(family, kind);
          return [
            `${translated(kind)} snat to ${key} map @fixed-${kind} fully-random`,
            `${translated(kind)} ${key} @kept-${kind} goto kept`,
            `${translated(kind)} ${key} @masq-${kind} goto masq`,
          ];
        }),
        // A host that a whole address belongs to also sends from it; before all that is masqueraded.
        `snat to ${way} map @if-source`,
        `snat to ${ip} saddr map @source`,
        `${way} . ${ip} daddr @egress-except return`,
        // Where source ports are kept, a host inside could take a listener's port at a peer and get its answers.
        `meta l4proto { tcp, udp } ${way} @egress-masq masquerade to :1024-65535 fully-random`,
        `${way} @egress-masq masquerade`,
        `meta l4proto { tcp, udp } snat to ${way} map @egress-fixed : 1024-65535 fully-random`,
        `snat to ${way} map @egress-fixed`,
      ],
    },
  ];
}

/** FTP, on our listeners only: data connections are then known as parts of a control connection. */
function helpers(family: Family): ChainSpec[] {
  const help = (place: PortPlace) => `ct state new ${listener(family, place)} @ftp-${place} ct helper set "${FTP_HELPER}"`;
  const local = (place: PortPlace) => `fib daddr type local ${help(place)}`;
  return [
    { name: 'ftp-listeners', rules: [help('at'), help('if-at'), local('any'), local('if-any')] },
    { name: 'pre-early', hook: { type: 'filter', hook: 'prerouting', priority: -150 }, rules: ['jump ftp-listeners'] },
    { name: 'out-early', hook: { type: 'filter', hook: 'output', priority: -150 }, rules: ['jump ftp-listeners'] },
  ];
}

/**
 * What the relay listens on passes others' filters in the input hook by the mark. Asking for the state has the kernel track these
 * connections from their first packet: without it, a forward that the kernel carries later would rewrite them in the middle.
 */
function relayed(family: Family): ChainSpec[] {
  const { ip } = WORDS[family];
  const each = (verdict: string) =>
    PORT_PLACES.flatMap((place) => [
      `${listener(family, place)} @relay-${place} ${verdict}`,
      `${listener(family, place)} . ${ip} saddr @relay-from-${place} ${verdict}`,
    ]);
  return [
    { name: 'relayed', rules: each(`${PACKET} accept`) },
    // A connection that the kernel carried before may still go on, and a RST of the relay's socket would end it.
    { name: 'relayed-strays', rules: each('counter drop') },
    {
      name: 'in-mark',
      hook: { type: 'filter', hook: 'input', priority: INPUT_MARKED },
      rules: ['ct state new,established jump relayed', 'meta l4proto tcp ct state invalid jump relayed-strays'],
    },
  ];
}

function hooks(family: Family): ChainSpec[] {
  const { ip } = WORDS[family];
  const own = (kind: FlowKind) => `${translated(kind)} ${flow(family, kind)} @own-${kind} ${OURS}`;
  const out = `ct direction original oifname . ct original ${ip} saddr`;
  const back = `ct direction reply iifname . ct original ${ip} saddr`;
  const whither = `ct original ${ip} daddr`;
  const hook = (type: Hook['type'], place: Hook['hook'], priority: number): Hook => ({ type, hook: place, priority });
  return [
    { name: CLOSED_CHAIN, rules: [CLOSED_RULE] },
    {
      name: 'clamp',
      rules: CLAMP_KINDS.map(
        (kind) =>
          `${translated(kind)} meta l4proto tcp ${flow(family, kind)} @clamp-${kind} tcp option maxseg size set rt mtu return`,
      ),
    },
    { name: 'pre-filter', hook: hook('filter', 'prerouting', -110), rules: ['jump listeners'] },
    { name: 'out-filter', hook: hook('filter', 'output', -110), rules: ['jump listeners'] },
    { name: 'pre-nat', hook: hook('nat', 'prerouting', -105), rules: ['jump dispatch'] },
    // What a program sends to the loopback address never leaves the host and must not be rewritten.
    {
      name: 'out-nat',
      hook: hook('nat', 'output', -105),
      rules: [`${ip} daddr != ${family === 4 ? '127.0.0.0/8' : '::1'} jump dispatch`],
    },
    {
      name: 'fwd-mark',
      hook: hook('filter', 'forward', MARKED.from),
      rules: [
        'tcp flags syn jump clamp',
        ...FLOW_KINDS.map(own),
        `ct status expected ct mark and ${BIT} == ${BIT} ${OURS}`,
        `ct original ${ip} saddr @own-source ${OURS}`,
        `${out} @own-if-source ${OURS}`,
        `${back} @own-if-source ${OURS}`,
        `${out} . ${whither} @egress-except goto ${CLOSED_CHAIN}`,
        `${back} . ${whither} @egress-except goto ${CLOSED_CHAIN}`,
        `${out} @egress-own ${PACKET} accept`,
        `${back} @egress-own ${PACKET} accept`,
        `jump ${CLOSED_CHAIN}`,
      ],
    },
    {
      name: 'fwd-clean',
      hook: hook('filter', 'forward', MARKED.to),
      rules: [`meta mark and ${BIT} != 0 meta mark set meta mark and 0xfeffffff`],
    },
  ];
}

/** Names of the chains that only hold forwards' own rules. */
export const isPool = (chain: string): boolean => chain.startsWith(POOL_PREFIX);
