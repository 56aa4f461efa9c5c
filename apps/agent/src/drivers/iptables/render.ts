import { formatCidr } from '@gwctl/shared/domain/ip';
import type { HostDesired, PlacedForward, ProtectedListener } from '../../planner/types.js';
import { allowChain, CHAINS, comment, forwardChain, HOOKS, type Hook, MARK, partOf, TABLES, type TableName } from './layout.js';

/** A rule as iptables-save prints it, without the leading `-A CHAIN `. */
export interface Rule {
  readonly text: string;
  /** Of the forward that it is for. */
  readonly key?: string;
  /** Stands before all rules that are not. */
  readonly first?: boolean;
}

/**
 * `own`: of one forward, or one text for all; replaced as a whole. `part` and `whole`: rules of many forwards, whose order does not
 * matter but for `first`, written one by one; a `whole` leads to its parts.
 */
export type ChainKind = 'own' | 'part' | 'whole';

export interface RenderedChain {
  readonly kind: ChainKind;
  readonly rules: readonly Rule[];
}

export interface RenderedTable {
  readonly hooks: readonly Hook[];
  readonly chains: ReadonlyMap<string, RenderedChain>;
}

export interface Rendered {
  readonly tables: Readonly<Record<TableName, RenderedTable>>;
  /** By key. */
  readonly forwards: ReadonlyMap<string, PlacedForward>;
}

/** What stands in the forward hook besides our acceptance where we turned forwarding on: nothing but our flows is forwarded. */
export const CLOSED: Rule = { text: `${comment('fwd', 'closed')} -j DROP` };
const ACCEPT: Rule = { text: `-m connmark --mark ${MARK} ${comment('fwd', 'accept')} -j ACCEPT` };

const EMPTY: RenderedTable = { hooks: [], chains: new Map() };

/** Everything that these forwards need, in the words of iptables-save, so that comparing is comparing text. */
export function render(desired: HostDesired): Rendered {
  const forwards = new Map(desired.forwards.map((f) => [f.key, f]));
  const tables: Record<TableName, RenderedTable> = { mangle: EMPTY, filter: EMPTY, nat: EMPTY };
  if (forwards.size === 0) return { tables, forwards };

  const guarded = desired.protected.filter((p) => p.address === undefined || p.address.family === 4);
  const mangle = new Parts();
  const nat = new Parts();
  nat.whole(CHAINS.dispatch).push(...guarded.map((p) => ({ text: protectedRule(p), first: true })));
  for (const forward of desired.forwards) {
    const { key } = forward;
    const listener = listenerMatch(forward);
    mangle.add(CHAINS.acl, key, aclRules(forward, listener));
    if (forward.allow.length > 0) mangle.own(allowChain(key), key, allowRules(forward));
    nat.add(CHAINS.dispatch, key, [`${listener} ${comment(key, 'dispatch')} -j ${forwardChain(key)}`]);
    nat.own(forwardChain(key), key, natRules(forward));
    nat.add(CHAINS.post, key, postRules(forward));
  }
  if (mangle.chains.size > 0) tables.mangle = { hooks: HOOKS.mangle, chains: mangle.chains };
  tables.filter = { hooks: HOOKS.filter, chains: new Map([[CHAINS.forward, { kind: 'own', rules: [ACCEPT] }]]) };
  tables.nat = { hooks: HOOKS.nat, chains: nat.chains };
  return { tables, forwards };
}

/** Gathers the chains of one table. */
class Parts {
  readonly chains = new Map<string, { readonly kind: ChainKind; readonly rules: Rule[] }>();

  whole(chain: string): Rule[] {
    return this.#chain(chain, 'whole');
  }

  /** Rules of one forward in the part of a chain that its key belongs to. */
  add(chain: string, key: string, rules: readonly string[]): void {
    if (rules.length === 0) return;
    const name = partOf(chain, key);
    if (!this.chains.has(name)) this.whole(chain).push({ text: `${comment('part', key.slice(0, 1))} -j ${name}` });
    this.#chain(name, 'part').push(...rules.map((text) => ({ text, key })));
  }

  own(chain: string, key: string, rules: readonly string[]): void {
    this.#chain(chain, 'own').push(...rules.map((text) => ({ text, key })));
  }

  #chain(name: string, kind: ChainKind): Rule[] {
    const chain = this.chains.get(name) ?? { kind, rules: [] };
    this.chains.set(name, chain);
    return chain.rules;
  }
}

/** The same for a host that was not forwarding before us: see {@link CLOSED}. */
export function closed(rendered: Rendered): Rendered {
  const { filter } = rendered.tables;
  if (filter.chains.size === 0) return rendered;
  const chains = new Map([[CHAINS.forward, { kind: 'own' as const, rules: [ACCEPT, CLOSED] }]]);
  return { ...rendered, tables: { ...rendered.tables, filter: { hooks: filter.hooks, chains } } };
}

/** A rule for each kind of match and target that rendering can use, for detection by trying. By table. */
export const TRIAL: Readonly<Record<TableName, readonly string[]>> = {
  mangle: [
    `-d 192.0.2.1/32 -i lo -p tcp -m tcp --dport 1 -m conntrack --ctstate INVALID,NEW ${comment('detect')} -j DROP`,
    `-m addrtype --src-type LOCAL ${comment('detect')} -j RETURN`,
  ],
  filter: [`-m connmark --mark ${MARK} ${comment('detect')} -j ACCEPT`],
  nat: [
    `-p udp -m addrtype --dst-type LOCAL -m udp --dport 1 ${comment('detect')} -j RETURN`,
    `${comment('detect')} -j CONNMARK --set-xmark ${MARK}`,
    // DNAT is valid only below PREROUTING and OUTPUT, the others below POSTROUTING: without a jump to them they are all accepted.
    `-p tcp ${comment('detect')} -j DNAT --to-destination 192.0.2.1:1`,
    `-p tcp -m conntrack --ctstate DNAT --ctorigdst 192.0.2.1 --ctorigdstport 1 ${comment('detect')} -j MASQUERADE --random-fully`,
    `${comment('detect')} -j SNAT --to-source 192.0.2.1 --random-fully`,
  ],
};

export const isEmpty = (rendered: Rendered): boolean => TABLES.every((t) => rendered.tables[t].chains.size === 0);

function protectedRule(p: ProtectedListener): string {
  const where = p.address ? `-d ${p.address.text}/32 ` : '';
  const local = p.address ? '' : '-m addrtype --dst-type LOCAL ';
  return `${where}-p ${p.protocol} ${local}-m ${p.protocol} --dport ${p.port} ${comment('protected', p.kind)} -j RETURN`;
}

/**
 * What arrives at the listener. Without an address only the gateway's own addresses count (else transit traffic to other hosts would
 * be taken); with one it need not be the gateway's, for it may be routed here.
 */
function listenerMatch(forward: PlacedForward): string {
  const { address, interface: iface, protocol } = forward.listen;
  return [
    ...(address ? [`-d ${address.text}/32`] : []),
    ...(iface === undefined ? [] : [`-i ${iface}`]),
    `-p ${protocol}`,
    ...(address ? [] : ['-m addrtype --dst-type LOCAL']),
    `-m ${protocol} --dport ${listenPort(forward)}`,
  ].join(' ');
}

function aclRules(forward: PlacedForward, listener: string): string[] {
  const { key } = forward;
  const rules: string[] = [];
  // An out-of-window segment is not rewritten, reaches the local stack, and its RST would end the client's connection.
  if (forward.listen.protocol === 'tcp')
    rules.push(`${listener} -m conntrack --ctstate INVALID ${comment(key, 'invalid')} -j DROP`);
  if (forward.allow.length > 0) rules.push(`${listener} ${comment(key, 'acl')} -j ${allowChain(key)}`);
  return rules;
}

function allowRules(forward: PlacedForward): string[] {
  const { key } = forward;
  return [
    ...forward.allow.map((cidr) => `${cidr.prefix === 0 ? '' : `-s ${formatCidr(cidr)} `}${comment(key, 'allow')} -j RETURN`),
    `-m addrtype --src-type LOCAL ${comment(key, 'self')} -j RETURN`,
    `${comment(key, 'deny')} -j DROP`,
  ];
}

function natRules(forward: PlacedForward): string[] {
  const { key } = forward;
  const target = targetOf(forward);
  return [
    // The policy for existing flows stands in the comment, so that a process without memory can still honour it on removal.
    `${comment(key, 'mark', forward.onChange)} -j CONNMARK --set-xmark ${MARK}`,
    `-p ${forward.listen.protocol} ${comment(key, 'dnat')} -j DNAT --to-destination ${target.address.text}:${target.port}`,
  ];
}

function postRules(forward: PlacedForward): string[] {
  const { key, listen, snat } = forward;
  const { protocol } = listen;
  const target = targetOf(forward);
  const original = `${listen.address ? `--ctorigdst ${listen.address.text} ` : ''}--ctorigdstport ${listenPort(forward)}`;
  const rule = (role: string, action: string, before = '', local = '') =>
    `${before}-d ${target.address.text}/32 -p ${protocol} ${local}-m ${protocol} --dport ${target.port} -m conntrack --ctstate DNAT ${original} -m connmark --mark ${MARK} ${comment(key, role)} -j ${action}`;
  // Source ports are chosen at random: the kernel's own choice races between processors and then drops the packet.
  const masquerade = 'MASQUERADE --random-fully';
  if (snat.mode === 'masquerade') return [rule('snat', masquerade)];
  if (snat.mode === 'address') return [rule('snat', `SNAT --to-source ${snat.address.text} --random-fully`)];
  return [
    ...forward.hairpin.map((cidr) => rule('hairpin', masquerade, `-s ${formatCidr(cidr)} `)),
    rule('self', masquerade, '', '-m addrtype --src-type LOCAL '),
  ];
}

export function listenPort(forward: PlacedForward): number {
  const { ports } = forward.listen;
  if (!ports || ports.first !== ports.last) throw new Error(`forward ${forward.uid} has no single port`);
  return ports.first;
}

export function targetOf(forward: PlacedForward): { readonly address: { readonly text: string }; readonly port: number } {
  const [target, ...others] = forward.targets;
  if (!target || target.port === undefined || others.length > 0 || target.address.family !== 4)
    throw new Error(`forward ${forward.uid} has no single IPv4 target`);
  return { address: target.address, port: target.port };
}
