import type { Family } from '@gwctl/shared/domain/ip';
import type { ProtectedListener } from '../../planner/types.js';
import { egressCountRules, egressJump, egressMarkJump } from './egress-rules.js';
import { acceptMarked, CHAINS, comment, MARK } from './layout.js';
import { countOf } from './listener-tree.js';
import type { FamilyRendered, RenderedChain, Written } from './render.js';
import { FORWARDED, hostBits, SNAT_TREE } from './rules.js';
import { headerMatch } from './tree-chains.js';

const own = (rules: readonly string[]): RenderedChain => ({ kind: 'own', rules });
const shared = (rules: readonly string[]): RenderedChain => ({ kind: 'shared', rules });

/** The few chains that all share, from top to bottom of a packet's way. */
export function writeSharedChains(
  of: Pick<FamilyRendered, 'family' | 'forwards' | 'egresses' | 'trees'> & { readonly guarded: readonly ProtectedListener[] },
  { mangle, filter, nat }: Written,
): void {
  const { family, trees } = of;
  const egresses = [...of.egresses.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  const [exact, any] = [countOf(trees.dnat) > 0, countOf(trees.dnatAny) > 0];
  const forwarding = exact || any;
  const leaving = egresses.length > 0;
  const when = (wanted: boolean, chain: RenderedChain) => (wanted ? chain : undefined);
  const sources = countOf(trees.sourceSnat) > 0;
  mangle.set(CHAINS.egress, when(leaving || sources, shared([...only(sources, MARK_SOURCES), ...egresses.map(egressMarkJump)])));
  filter.set(CHAINS.forward, when(forwarding || leaving, own([OURS])));
  filter.set(
    CHAINS.ours,
    when(
      forwarding || leaving,
      own([...only(forwarding, COUNTED), ...only(sources, COUNTED_SOURCES), ...only(leaving, COUNTED_EGRESS), ACCEPT]),
    ),
  );
  filter.set(CHAINS.input, when(countOf(trees.relay) > 0, own([ACCEPT_MARKED])));
  filter.set(CHAINS.countEgress, when(leaving, shared(egresses.flatMap(egressCountRules))));
  const protectedRules = (which: (p: ProtectedListener) => boolean) =>
    of.guarded.filter(which).map((p) => protectedRule(p, family));
  const dispatch = [
    ...only(family === 6, LINK_LOCAL),
    ...protectedRules((p) => p.address !== undefined),
    ...only(exact, DISPATCH),
    // An address that a forward stands for is not the gateway's own, though the gateway may answer for it.
    ...protectedRules((p) => p.address === undefined),
    ...only(any, DISPATCH_ANY),
  ];
  nat.set(CHAINS.dispatch, when(forwarding, own(dispatch)));
  nat.set(
    CHAINS.post,
    when(forwarding || leaving, own([...only(forwarding, TRANSLATED), ...only(sources, SOURCES), ...egresses.map(egressJump)])),
  );
  // Where everybody is masqueraded, the tree of the exceptions is empty.
  if (forwarding && countOf(trees.snat) === 0) nat.set(CHAINS.snat, own([SNAT_TREE.last ?? '']));
  else if (!forwarding) nat.set(CHAINS.snat, undefined);
}

const only = (wanted: boolean, rule: string): readonly string[] => (wanted ? [rule] : []);

export const OURS = `-m connmark --mark ${MARK} ${comment('fwd', 'ours')} -j ${CHAINS.ours}`;
const COUNTED = `-m conntrack --ctstate DNAT ${comment('fwd', 'count')} -j ${CHAINS.count}`;
const COUNTED_SOURCES = `${comment('fwd', 'count-source')} -j ${CHAINS.countSource}`;
const COUNTED_EGRESS = `${comment('fwd', 'count-egress')} -j ${CHAINS.countEgress}`;
const ACCEPT = `${comment('fwd', 'accept')} -j ACCEPT`;
const ACCEPT_MARKED = acceptMarked('in', 'accept');
const DISPATCH = `${comment('listeners')} -j ${CHAINS.dnat}`;
const DISPATCH_ANY = `${comment('listeners')} -j ${CHAINS.dnatAny}`;
// Left for good, so that what is to keep its source meets no egress.
const TRANSLATED = `${FORWARDED}${comment('post', 'ours')} -g ${CHAINS.snat}`;
const MARK_SOURCES = `${comment('sources')} -j ${CHAINS.sourceMark}`;
// Before egresses: a host with an address of its own is not one of many.
const SOURCES = `${comment('sources')} -j ${CHAINS.sourceSnat}`;
/** A link-local source has no meaning beyond its link. */
const LINK_LOCAL = `-s fe80::/10 ${comment('link-local')} -j RETURN`;

function protectedRule({ kind, address, protocol, port }: ProtectedListener, family: Family): string {
  const network = address && { network: address.text, prefix: hostBits(family) };
  return `${headerMatch({ network, protocol, ports: { first: port, last: port }, local: !address })}${comment('protected', kind)} -j RETURN`;
}
