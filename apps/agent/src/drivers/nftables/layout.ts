/**
 * The static part of the table `ip gwctl`: chains, rules, and the sets and maps that forwards are elements of. The README beside this
 * file draws the packet's path. Whatever changes here needs another {@link VERSION}.
 */

export const TABLE = 'gwctl';
/** Scratch table of detection, without hooks. */
export const SCRATCH = 'gwctl-detect';
/** Of the layout. A table of another version is replaced in one transaction, with its elements. */
export const VERSION = 1;
export const VERSION_COMMENT = `gwctl/${VERSION}`;

/** "A packet of ours", between our two chains in the forward hook; and, in the connection mark, "a flow of ours" for other drivers. */
export const MARK_BIT = 0x1000000;
const BIT = '0x1000000';

/** Between these priorities of the forward hook packets of ours carry {@link MARK_BIT}. */
export const MARKED = { from: -5, to: 5 } as const;

/** How a listener is matched: by address or as every address of the gateway, each with or without an interface. */
export const KINDS = ['at', 'any', 'if-at', 'if-any'] as const;
export type Kind = (typeof KINDS)[number];

/** How a flow of a forward is told apart: with or without the address that its client asked for. */
export const FLOW_KINDS = ['at', 'any'] as const;
export type FlowKind = (typeof FLOW_KINDS)[number];

interface Match {
  readonly types: readonly string[];
  readonly fields: readonly string[];
}

/** What an arriving packet is looked up by. */
const LISTENER: Readonly<Record<Kind, Match>> = {
  at: { types: ['ipv4_addr', 'inet_proto', 'inet_service'], fields: ['ip daddr', 'meta l4proto', 'th dport'] },
  any: { types: ['inet_proto', 'inet_service'], fields: ['meta l4proto', 'th dport'] },
  'if-at': {
    types: ['ifname', 'ipv4_addr', 'inet_proto', 'inet_service'],
    fields: ['iifname', 'ip daddr', 'meta l4proto', 'th dport'],
  },
  'if-any': { types: ['ifname', 'inet_proto', 'inet_service'], fields: ['iifname', 'meta l4proto', 'th dport'] },
};

/**
 * Where a flow was sent to and where it really goes: the same for each of its packets, in both directions, and for the ICMP errors that
 * belong to it. That is why it asks connection tracking even for the protocol.
 */
const FLOW: Readonly<Record<FlowKind, Match>> = {
  at: {
    types: ['ipv4_addr', 'inet_proto', 'inet_service', 'ipv4_addr', 'inet_service'],
    fields: ['ct original ip daddr', 'ct original protocol', 'ct original proto-dst', 'ct reply ip saddr', 'ct reply proto-src'],
  },
  any: {
    types: ['inet_proto', 'inet_service', 'ipv4_addr', 'inet_service'],
    fields: ['ct original protocol', 'ct original proto-dst', 'ct reply ip saddr', 'ct reply proto-src'],
  },
};

export type SetName =
  | `listen-${Kind}`
  | `to-${Kind}`
  | `allowed-${Kind}`
  | `own-${FlowKind}`
  | `kept-${FlowKind}`
  | `fixed-${FlowKind}`
  | 'protected-at'
  | 'protected-any'
  | 'hairpin';

export interface SetSpec {
  readonly name: SetName;
  /** Of the key, in order. */
  readonly types: readonly string[];
  /** Of a map's values; undefined for a set. */
  readonly data?: string;
  /** Keys may be networks. */
  readonly interval?: boolean;
}

const perKind = (kind: Kind): SetSpec[] => {
  const { types } = LISTENER[kind];
  return [
    { name: `listen-${kind}`, types, data: 'verdict' },
    { name: `allowed-${kind}`, types: [...types, 'ipv4_addr'], interval: true },
    { name: `to-${kind}`, types, data: 'ipv4_addr . inet_service' },
  ];
};

const perFlowKind = (kind: FlowKind): SetSpec[] => {
  const { types } = FLOW[kind];
  return [
    { name: `own-${kind}`, types },
    { name: `fixed-${kind}`, types, data: 'ipv4_addr' },
    { name: `kept-${kind}`, types },
  ];
};

/** What forwards are elements of. */
export const SETS: readonly SetSpec[] = [
  { name: 'protected-at', types: LISTENER.at.types },
  { name: 'protected-any', types: LISTENER.any.types },
  ...KINDS.flatMap(perKind),
  ...FLOW_KINDS.flatMap(perFlowKind),
  { name: 'hairpin', types: ['ipv4_addr', 'ipv4_addr'], interval: true },
];

export const SET_BY_NAME: ReadonlyMap<string, SetSpec> = new Map(SETS.map((s) => [s.name, s]));

/** Where a chain is hooked into the kernel. */
export interface Hook {
  readonly type: 'filter' | 'nat';
  readonly hook: 'prerouting' | 'output' | 'forward' | 'postrouting';
  readonly priority: number;
}

export interface ChainSpec {
  readonly name: string;
  readonly hook?: Hook;
  readonly rules: readonly string[];
}

const join = (fields: readonly string[]) => fields.join(' . ');
const listener = (kind: Kind) => join(LISTENER[kind].fields);
/** nft 1.0.6 knows the size of ct's ports only after a match on the protocol in the same rule. */
const TRANSLATED = 'ct status dnat ct original protocol { tcp, udp }';
const flow = (kind: FlowKind) => `${TRANSLATED} ${join(FLOW[kind].fields)}`;
const dnat = (kind: Kind) => `meta l4proto { tcp, udp } dnat to ${listener(kind)} map @to-${kind}`;
const STRAY = 'meta l4proto tcp ct state invalid counter drop';

/** Empty where the host forwards for others too; otherwise it holds {@link CLOSED_RULE}. */
export const CLOSED_CHAIN = 'closed';
export const CLOSED_RULE = 'counter drop';
export const OPEN_CHAIN = 'open';
export const guardedChain = (kind: Kind): string => `guarded-${kind}`;

/**
 * Priorities are unique on purpose: of chains with the same one, that which was registered last runs first. So ours come before those
 * of iptables and other tools (-100, 0 and 100) whoever starts first.
 */
export const CHAINS: readonly ChainSpec[] = [
  // An out-of-window segment is not rewritten, reaches the local stack, and its RST would end the client's connection.
  { name: OPEN_CHAIN, rules: [STRAY] },
  ...KINDS.map((kind) => ({
    name: guardedChain(kind),
    rules: [
      STRAY,
      // What comes back to a client of the gateway's own is no request to the listener.
      'ct direction reply return',
      `${listener(kind)} . ip saddr @allowed-${kind} return`,
      'fib saddr type local return',
      'counter drop',
    ],
  })),
  { name: 'listeners-any', rules: [`${listener('any')} vmap @listen-any`, `${listener('if-any')} vmap @listen-if-any`] },
  {
    name: 'listeners',
    rules: [
      `${listener('at')} vmap @listen-at`,
      `${listener('if-at')} vmap @listen-if-at`,
      // Without it, transit traffic to the same port of other hosts would be taken.
      'fib daddr type local jump listeners-any',
    ],
  },
  { name: 'dispatch-any', rules: [dnat('any'), dnat('if-any')] },
  {
    name: 'dispatch',
    rules: [
      `${listener('at')} @protected-at return`,
      `fib daddr type local ${listener('any')} @protected-any return`,
      dnat('at'),
      dnat('if-at'),
      'fib daddr type local jump dispatch-any',
    ],
  },
  // Source ports are chosen at random: the kernel's own choice races between processors and then drops the packet.
  { name: 'masq', rules: ['masquerade fully-random'] },
  // The client's address is kept, except where the target would answer past the gateway.
  { name: 'kept', rules: ['fib saddr type local goto masq', 'ip saddr . ip daddr @hairpin goto masq'] },
  { name: CLOSED_CHAIN, rules: [CLOSED_RULE] },
  {
    name: 'pre-filter',
    hook: { type: 'filter', hook: 'prerouting', priority: -110 },
    rules: ['jump listeners'],
  },
  { name: 'out-filter', hook: { type: 'filter', hook: 'output', priority: -110 }, rules: ['jump listeners'] },
  { name: 'pre-nat', hook: { type: 'nat', hook: 'prerouting', priority: -105 }, rules: ['jump dispatch'] },
  // What a program sends to 127.0.0.0/8 never leaves the host and must not be rewritten.
  {
    name: 'out-nat',
    hook: { type: 'nat', hook: 'output', priority: -105 },
    rules: ['ip daddr != 127.0.0.0/8 jump dispatch'],
  },
  {
    name: 'fwd-mark',
    hook: { type: 'filter', hook: 'forward', priority: MARKED.from },
    rules: [
      ...FLOW_KINDS.map(
        (kind) => `${flow(kind)} @own-${kind} meta mark set meta mark or ${BIT} ct mark set ct mark or ${BIT} accept`,
      ),
      `jump ${CLOSED_CHAIN}`,
    ],
  },
  {
    name: 'fwd-clean',
    hook: { type: 'filter', hook: 'forward', priority: MARKED.to },
    rules: [`ct status dnat meta mark and ${BIT} != 0 meta mark set meta mark and 0xfeffffff`],
  },
  {
    name: 'post-nat',
    hook: { type: 'nat', hook: 'postrouting', priority: 95 },
    rules: FLOW_KINDS.flatMap((kind) => [
      `${TRANSLATED} snat to ${join(FLOW[kind].fields)} map @fixed-${kind} fully-random`,
      `${flow(kind)} @kept-${kind} goto kept`,
      `${flow(kind)} @own-${kind} goto masq`,
    ]),
  },
  // Not a comment of the table: the kernel ignores the comment of a table that is added again.
  { name: 'state', rules: [`return comment "${VERSION_COMMENT}"`] },
];

/** What creates the static part in `table`, which must not be there. `trial`: without hooks, so that it meets no packet. */
export function layoutLines(table: string, options: { readonly trial?: boolean; readonly closed: boolean }): string[] {
  const set = (s: SetSpec) =>
    `add ${s.data === undefined ? 'set' : 'map'} ip ${table} ${s.name} { type ${join(s.types)}${s.data === undefined ? '' : ` : ${s.data}`};${s.interval ? ' flags interval;' : ''} }`;
  const hook = ({ type, hook: place, priority }: Hook) => ` { type ${type} hook ${place} priority ${priority}; policy accept; }`;
  return [
    `add table ip ${table}`,
    ...SETS.map(set),
    ...CHAINS.map((c) => `add chain ip ${table} ${c.name}${c.hook && !options.trial ? hook(c.hook) : ''}`),
    ...CHAINS.flatMap((c) =>
      c.name === CLOSED_CHAIN && !options.closed ? [] : c.rules.map((r) => `add rule ip ${table} ${c.name} ${r}`),
    ),
  ];
}

/** What removes a table, whether or not it is there (`destroy` needs nft 1.0.8 and Linux 6.3). */
export const removalLines = (table: string): string[] => [`add table ip ${table}`, `delete table ip ${table}`];
