/** The rules of one forward in each of the trees, in the words of iptables-save, so that comparing is comparing text. */
import { type Family, formatCidr } from '@gwctl/shared/domain/ip';
import { ring } from '../../planner/ring.js';
import type { PlacedForward, PlacedTarget } from '../../planner/types.js';
import { CLIENT_SHARES, clientMatch } from './client-hash.js';
import { allowChain, CHAINS, comment, MARK, SET_MARK, targetsChain } from './layout.js';
import type { Listener } from './listener-digits.js';
import { flowMatch, headerMatch, sourceMatch, type TreeLayout } from './tree-chains.js';

/** Source ports are chosen at random: the kernel's own choice races between processors and then drops the packet. */
export const MASQUERADE = 'MASQUERADE --random-fully';

export function forwardOf({ id, forward }: Listener): PlacedForward {
  if (!forward) throw new Error(`listener ${id} is of no forward`);
  return forward;
}

export const hostOf = ({ family, address }: Listener) => address && { network: address.text, prefix: hostBits(family) };

const arriving = (listener: Listener): string => {
  const { protocol, ports, address, forward } = listener;
  return headerMatch({ network: hostOf(listener), interface: forward?.listen.interface, protocol, ports, local: !address });
};

const flowing = (listener: Listener): string =>
  flowMatch({ network: hostOf(listener), protocol: listener.protocol, ports: listener.ports });

const TO_TARGET = {
  prefix: 'GWCTL-D-',
  by: 'destination',
  rulesOf: (listener: Listener) => {
    const forward = forwardOf(listener);
    const { key, targets, onChange } = forward;
    const match = arriving(listener);
    const [only, ...others] = targets;
    // The policy for existing flows stands in the comment, so that a process without memory can still honour it on removal.
    const mark = `${match}${comment(key, 'mark', onChange)} -j ${SET_MARK}`;
    if (!only || others.length > 0) return [mark, `${match}${comment(key, 'targets')} -j ${targetsChain(key)}`];
    return [mark, `${match}${comment(key, 'dnat')} -j DNAT --to-destination ${destination(forward, only)}`];
  },
} as const satisfies Omit<TreeLayout, 'root'>;

/** Listeners with an address. */
export const DNAT_TREE: TreeLayout = { ...TO_TARGET, root: CHAINS.dnat };
/** Listeners at every address of the gateway. */
export const DNAT_ANY_TREE: TreeLayout = { ...TO_TARGET, root: CHAINS.dnatAny };

export const INVALID_TREE: TreeLayout = {
  root: CHAINS.invalid,
  prefix: 'GWCTL-I-',
  by: 'destination',
  rulesOf: (listener) => {
    // Of an address with every protocol, only TCP is asked here.
    const tcp = listener.protocol === 'all' ? { ...listener, protocol: 'tcp' as const } : listener;
    return [`${arriving(tcp)}${comment(forwardOf(listener).key, 'invalid')} -j DROP`];
  },
};

/** Its listeners are targets, each once however many forwards lead there. */
export const ANSWER_TREE: TreeLayout = {
  root: CHAINS.answers,
  prefix: 'GWCTL-R-',
  by: 'source',
  rulesOf: (target) => [
    `${sourceMatch({ network: hostOf(target), protocol: target.protocol, ports: target.ports })}${comment('answer')} -j DROP`,
  ],
};

export const ALLOW_TREE: TreeLayout = {
  root: CHAINS.acl,
  prefix: 'GWCTL-L-',
  by: 'destination',
  rulesOf: (listener) => {
    const { key } = forwardOf(listener);
    return [`${arriving(listener)}${comment(key, 'acl')} -j ${allowChain(key)}`];
  },
};

export const COUNT_TREE: TreeLayout = {
  root: CHAINS.count,
  prefix: 'GWCTL-C-',
  by: 'flow',
  rulesOf: (listener) => [`${flowing(listener)}${comment(forwardOf(listener).key, 'count')} -j ACCEPT`],
};

export const MSS_TREE: TreeLayout = {
  root: CHAINS.mss,
  prefix: 'GWCTL-S-',
  by: 'flow',
  rulesOf: (listener) => [
    `-p tcp -m tcp --tcp-flags SYN,RST SYN ${flowing(listener)}${comment(forwardOf(listener).key, 'mss')} -j TCPMSS --clamp-mss-to-pmtu`,
  ],
};

export const FTP_TREE: TreeLayout = {
  root: CHAINS.ftp,
  prefix: 'GWCTL-T-',
  by: 'destination',
  rulesOf: (listener) => [`${arriving(listener)}${comment(forwardOf(listener).key, 'ftp')} -j CT --helper ftp`],
};

/** Only forwards that do not masquerade stand here: that is what becomes of all others. */
export const SNAT_TREE: TreeLayout = {
  root: CHAINS.snat,
  prefix: 'GWCTL-P-',
  by: 'flow',
  last: `${comment('post', 'masquerade')} -j ${MASQUERADE}`,
  rulesOf: (listener) => {
    const { key, snat, hairpin } = forwardOf(listener);
    const match = flowing(listener);
    if (snat.mode === 'address')
      return [`${match}${comment(key, 'snat')} -j SNAT --to-source ${snat.address.text} --random-fully`];
    return [
      ...hairpin.map(
        ({ network, target }) =>
          `${source(network)}-d ${target.text}/${hostBits(target.family)} ${match}${comment(key, 'hairpin')} -j ${MASQUERADE}`,
      ),
      `${match}-m addrtype --src-type LOCAL ${comment(key, 'self')} -j ${MASQUERADE}`,
      `${match}${comment(key, 'kept')} -j RETURN`,
    ];
  },
};

/** What an allow-list leads to: nobody but those on it, and whoever is on the gateway itself. */
export function allowRules({ key, allow }: PlacedForward): readonly string[] {
  return [
    ...(allow ?? []).map((cidr) => `${source(cidr)}${comment(key, 'allow')} -j RETURN`),
    `-m addrtype --src-type LOCAL ${comment(key, 'self')} -j RETURN`,
    `${comment(key, 'deny')} -j DROP`,
  ];
}

/** The targets of a forward that has several; undefined for one alone. */
export function targetRules(forward: PlacedForward): readonly string[] | undefined {
  const { key, targets, affinity, listen } = forward;
  if (targets.length === 1) return undefined;
  const shares = affinity === 'client' ? clientShares(targets, forward.family) : randomShares(targets);
  const protocols = listen.protocol === 'tcp+udp' ? ['tcp', 'udp'] : [listen.protocol];
  return protocols.flatMap((protocol) =>
    shares.map(
      ({ match, target }) =>
        `-p ${protocol} ${match}${comment(key, 'dnat')} -j DNAT --to-destination ${destination(forward, target)}`,
    ),
  );
}

interface Share {
  /** Empty for whatever is left. */
  readonly match: string;
  readonly target: PlacedTarget;
}

/** Each takes its part of what those before it left. */
function randomShares(targets: readonly PlacedTarget[]): Share[] {
  let left = targets.reduce((sum, t) => sum + t.weight, 0);
  return targets.map((target, i) => {
    const probability = target.weight / left;
    left -= target.weight;
    const last = i === targets.length - 1;
    return { target, match: last ? '' : `-m statistic --mode random --probability ${probabilityText(probability)} ` };
  });
}

/** As iptables prints it: 31 bits, with eleven decimals, a half rounded to the even neighbour as C does. */
export function probabilityText(probability: number): string {
  const scaled = BigInt(Math.round(probability * 2 ** 31)) * 10n ** 11n;
  const [whole, rest, half] = [scaled >> 31n, scaled & ((1n << 31n) - 1n), 1n << 30n];
  const rounded = rest > half || (rest === half && whole % 2n === 1n) ? whole + 1n : whole;
  const digits = rounded.toString().padStart(12, '0');
  return `${digits.slice(0, -11)}.${digits.slice(-11)}`;
}

/** Each client keeps its target as long as that is there. */
function clientShares(targets: readonly PlacedTarget[], family: Family): Share[] {
  const owners = ring(targets, CLIENT_SHARES);
  const masks = targets.map((_, i) => owners.reduce((bits, owner, share) => (owner === i ? bits | (1 << share) : bits), 0));
  const holding = targets.flatMap((target, i) => (masks[i] === 0 ? [] : [{ target, mask: masks[i] ?? 0 }]));
  return holding.map(({ target, mask }, i) => ({ target, match: i === holding.length - 1 ? '' : clientMatch(family, mask) }));
}

/** What `--to-destination` is given: the listener's ports keep their distance from the first. */
export function destination({ listen: { ports } }: PlacedForward, { address, port }: PlacedTarget): string {
  if (!ports || port === undefined) return address.text;
  const width = ports.last - ports.first;
  if (width > 0 && port === ports.first) return address.text;
  const at = address.family === 6 ? `[${address.text}]` : address.text;
  return width === 0 ? `${at}:${port}` : `${at}:${port}-${port + width}/${ports.first}`;
}

/** As a match on the source; everybody needs none. */
export const source = (cidr: PlacedForward['hairpin'][number]['network']): string =>
  cidr.prefix === 0 ? '' : `-s ${formatCidr(cidr)} `;

export const hostBits = (family: 4 | 6): number => (family === 4 ? 32 : 128);

/** Flows of ours whose destination was rewritten: what {@link SNAT_TREE} decides about. */
export const FORWARDED = `-m conntrack --ctstate DNAT -m connmark --mark ${MARK} `;
