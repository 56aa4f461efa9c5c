import type { Cidr } from '@gwctl/shared/domain/ip';
import type { HostDesired, PlacedForward } from '../../planner/types.js';
import { type FlowKind, guardedChain, type Kind, OPEN_CHAIN, SETS, type SetName } from './layout.js';

/** An element's comment and value as nft writes them behind its key: ` comment "9f1c2ab0:drain" : 10.0.0.10 . 8443`, or nothing. */
export type Suffix = string;

export interface Element {
  readonly suffix: Suffix;
  /** Keys of the forwards that it is for; none: all share it. */
  readonly forwards: readonly string[];
}

export interface Rendered {
  /** Elements by key, as nft writes it. Every set is there. */
  readonly sets: ReadonlyMap<SetName, ReadonlyMap<string, Element>>;
  /** By key. */
  readonly forwards: ReadonlyMap<string, PlacedForward>;
}

/** Everything that these forwards need, in nft's words, so that comparing is comparing text. */
export function render(desired: HostDesired): Rendered {
  const sets = new Map(SETS.map((s) => [s.name, new Map<string, Element>()]));
  const put = (set: SetName, key: string, suffix: Suffix, forward?: string) => {
    const elements = sets.get(set);
    const shared = elements?.get(key)?.forwards ?? [];
    elements?.set(key, { suffix, forwards: forward === undefined ? shared : [...shared, forward] });
  };
  const forwards = new Map(desired.forwards.map((f) => [f.key, f]));
  if (forwards.size === 0) return { sets, forwards };
  for (const { address, protocol, port } of desired.protected) {
    if (address?.family === 6) continue;
    if (address) put('protected-at', join(address.text, protocol, port), '');
    else put('protected-any', join(protocol, port), '');
  }
  for (const forward of desired.forwards) putForward(forward, (set, key, suffix = '') => put(set, key, suffix, forward.key));
  return { sets, forwards };
}

export const isEmpty = (rendered: Rendered): boolean => rendered.forwards.size === 0;

function putForward(forward: PlacedForward, put: (set: SetName, key: string, suffix?: Suffix) => void): void {
  const { listen, snat } = forward;
  const target = targetOf(forward);
  const kind = kindOf(forward);
  const at = listenerKey(forward);
  const allow = allowOf(forward);
  put(`listen-${kind}`, at, ` : jump ${allow.length > 0 ? guardedChain(kind) : OPEN_CHAIN}`);
  for (const cidr of allow) put(`allowed-${kind}`, `${at} . ${networkText(cidr)}`);
  // Key and policy stand in the comment, so that a process without memory can still honour them on removal.
  put(`to-${kind}`, at, ` comment "${forward.key}:${forward.onChange}" : ${join(target.address.text, target.port)}`);
  const flowKind: FlowKind = listen.address ? 'at' : 'any';
  const flow = join(
    ...(listen.address ? [listen.address.text] : []),
    listen.protocol,
    listenPort(forward),
    target.address.text,
    target.port,
  );
  put(`own-${flowKind}`, flow);
  if (snat.mode === 'address') put(`fixed-${flowKind}`, flow, ` : ${snat.address.text}`);
  if (snat.mode !== 'none') return;
  put(`kept-${flowKind}`, flow);
  for (const cidr of forward.hairpin) put('hairpin', join(networkText(cidr), target.address.text));
}

export const kindOf = ({ listen }: PlacedForward): Kind =>
  `${listen.interface === undefined ? '' : ('if-' as const)}${listen.address ? 'at' : 'any'}`;

function listenerKey(forward: PlacedForward): string {
  const { address, interface: iface, protocol } = forward.listen;
  return join(...(iface === undefined ? [] : [`"${iface}"`]), ...(address ? [address.text] : []), protocol, listenPort(forward));
}

/** An allow-list that names everybody is none. */
export const allowOf = (forward: PlacedForward): readonly Cidr[] =>
  forward.allow.some((cidr) => cidr.prefix === 0) ? [] : forward.allow;

/** As nft prints it: a network of one is an address. */
export const networkText = (cidr: Cidr): string =>
  cidr.prefix === (cidr.family === 4 ? 32 : 128) ? cidr.network : `${cidr.network}/${cidr.prefix}`;

const join = (...parts: readonly (string | number)[]) => parts.join(' . ');

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
