import type { OnChange } from '@gwctl/shared/domain/forward';
import { type Cidr, parseCidr } from '@gwctl/shared/domain/ip';
import type { DriftCauseWord } from '@gwctl/shared/domain/status';
import type { FlowMatch } from '../../system/conntrack.js';
import type { Forwarding } from '../../system/ip-forwarding.js';
import type { ForwardFilters } from './filters.js';
import {
  CHAINS,
  type ChainSpec,
  CLOSED_CHAIN,
  FLOW_KINDS,
  KINDS,
  type Kind,
  SETS,
  type SetName,
  TABLE,
  VERSION,
  VERSION_COMMENT,
} from './layout.js';
import type { ListedChain, Listing } from './listing.js';

/** The static part is not as we wrote it. */
export interface Defect {
  readonly cause: DriftCauseWord;
  readonly object: string;
  readonly message: string;
}

/** What is in our table. */
export interface ObservedTable {
  /** What is wrong with the static part; empty when nothing is. */
  readonly defects: readonly Defect[];
  /** Whether it keeps others' traffic from being forwarded. */
  readonly closed: boolean;
  /** Suffix by key. Every set is there. */
  readonly sets: ReadonlyMap<SetName, ReadonlyMap<string, string>>;
  /** What is in the sets is not known. */
  readonly unreadable?: boolean;
}

export interface Observed {
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  /** Undefined where it is gone. */
  readonly table?: ObservedTable;
  /** What others' filters do with forwarded packets. */
  readonly filters: ForwardFilters;
  readonly forwarding: Forwarding;
  /** The kernel's count of changes of nftables, all tables, at which this was so; undefined where it is unknown. */
  readonly generation?: number;
  /** Why flows cannot be removed or looked at; undefined where they can. */
  readonly flowTrouble?: string;
}

/** What our static part looks like when this host's nft prints it. */
export type Reference = Pick<Listing, 'chains' | 'sets'>;

export function observeTable(listing: Listing, reference: Reference): ObservedTable {
  const defects: Defect[] = [];
  const report = (cause: DriftCauseWord, object: string, message: string) =>
    defects.push({ cause, object: object === '' ? TABLE : `${TABLE}/${object}`, message });
  if (listing.flags) report('altered', '', 'the table has flags that ours has not; "dormant" switches it off');
  if (listing.unreadable)
    return { defects, closed: false, sets: new Map(SETS.map(({ name }) => [name, new Map()])), unreadable: true };
  for (const spec of CHAINS) compareChain(spec, listing, reference, report);
  for (const name of listing.chains.keys()) if (!reference.chains.has(name)) report('foreign', name, 'a chain that is not ours');
  for (const { name } of SETS) {
    const declaration = listing.sets.get(name)?.declaration;
    if (declaration === undefined) report('missing', name, 'the set is gone');
    else if (declaration !== reference.sets.get(name)?.declaration) report('altered', name, 'the set is of another kind');
  }
  for (const name of listing.sets.keys()) if (!reference.sets.has(name)) report('foreign', name, 'a set that is not ours');
  for (const name of listing.others) report('foreign', name, 'an object that is not ours');
  const sets = new Map(SETS.map(({ name }) => [name, listing.sets.get(name)?.elements ?? new Map<string, string>()]));
  return { defects, closed: (listing.chains.get(CLOSED_CHAIN)?.rules.length ?? 0) > 0, sets };
}

function compareChain(
  spec: ChainSpec,
  listing: Listing,
  reference: Reference,
  report: (cause: DriftCauseWord, object: string, message: string) => void,
): void {
  const { name, hook } = spec;
  const chain = listing.chains.get(name);
  if (!chain) return void report('missing', name, 'the chain is gone');
  const wantedHook = hook && `${hook.type} ${hook.hook} ${hook.priority} accept`;
  if (chain.hook !== wantedHook)
    report('altered', name, `the chain is hooked as "${chain.hook ?? 'none'}" instead of "${wantedHook ?? 'none'}"`);
  const wanted = reference.chains.get(name)?.rules ?? [];
  if (name === CLOSED_CHAIN && chain.rules.length === 0) return;
  if (sameRules(chain.rules, wanted)) return;
  if (name === 'state') return void report('altered', name, `the layout is "${versionOf(chain)}", not "${VERSION_COMMENT}"`);
  const texts = (rules: ListedChain['rules']) => new Set(rules.map((r) => r.text));
  const [there, ours] = [texts(chain.rules), texts(wanted)];
  const gone = wanted.filter((r) => !there.has(r.text)).length;
  const extra = chain.rules.filter((r) => !ours.has(r.text)).length;
  if (gone > 0 && extra > 0) report('altered', name, `${counted(gone)} of ours changed`);
  else if (gone > 0) report('missing', name, `${counted(gone)} of ours gone`);
  else if (extra > 0) report('foreign', name, `${counted(extra)} not ours`);
  else report('altered', name, 'the rules are in another order, or some are there twice');
}

const counted = (rules: number) => (rules === 1 ? '1 rule is' : `${rules} rules are`);
const versionOf = (state: ListedChain) => state.rules.map((r) => r.comment ?? '').join(' ');

function sameRules(a: ListedChain['rules'], b: ListedChain['rules']): boolean {
  return a.length === b.length && a.every((r, i) => r.text === b[i]?.text && r.comment === b[i]?.comment);
}

/** The layout's version where it is newer than ours, else undefined. */
export function newerVersion(listing: Listing): number | undefined {
  const version = Number(/gwctl\/(\d+)/.exec(versionOf(listing.chains.get('state') ?? { rules: [] }))?.[1] ?? 0);
  return version > VERSION ? version : undefined;
}

/** A forward as the kernel's elements tell it, for what its change means to existing flows. */
export interface CarriedForward {
  readonly key: string;
  readonly protocol: 'tcp' | 'udp';
  /** Undefined: every address of the gateway. */
  readonly address?: string;
  readonly port: number;
  readonly target: string;
  readonly targetPort: number;
  readonly onChange: OnChange;
  /** Empty: anyone. */
  readonly allow: readonly Cidr[];
  /** The source address that targets see: `masquerade`, `none`, or a fixed one. */
  readonly source: string;
}

/**
 * The forwards that the elements carry, by key; one whose elements were changed beyond recognition is left out. `which` chooses among
 * the elements of the maps to targets.
 */
export function carriedForwards(
  table: ObservedTable | undefined,
  which: (kind: Kind, key: string, suffix: string) => boolean,
): ReadonlyMap<string, CarriedForward> {
  const carried = new Map<string, CarriedForward>();
  if (!table) return carried;
  for (const kind of KINDS) {
    const chosen = [...elementsOf(table, `to-${kind}`)].filter(([at, suffix]) => which(kind, at, suffix));
    const allowed = chosen.length > 0 ? allowedBy(kind, table) : new Map<string, Cidr[]>();
    for (const [at, suffix] of chosen) {
      const [, key, onChange, target = '', targetPort] =
        /^ comment "([0-9a-f]{8}):(drain|cut|keep)" : ([\d.]+) \. (\d+)$/.exec(suffix) ?? [];
      if (key === undefined) continue;
      const parts = at.split(' . ').slice(kind.startsWith('if-') ? 1 : 0);
      const [port, protocol, address] = parts.reverse();
      const flowKind = address === undefined ? 'any' : 'at';
      const flow = [...(address === undefined ? [] : [address]), protocol, port, target, targetPort].join(' . ');
      carried.set(key, {
        key,
        protocol: protocol === 'udp' ? 'udp' : 'tcp',
        ...(address === undefined ? {} : { address }),
        port: Number(port),
        target,
        targetPort: Number(targetPort),
        onChange: onChange as OnChange,
        allow: allowed.get(at) ?? [],
        source: elementsOf(table, `kept-${flowKind}`).has(flow)
          ? 'none'
          : (elementsOf(table, `fixed-${flowKind}`).get(flow)?.slice(' : '.length) ?? 'masquerade'),
      });
    }
  }
  return carried;
}

function allowedBy(kind: Kind, table: ObservedTable): Map<string, Cidr[]> {
  const allowed = new Map<string, Cidr[]>();
  for (const key of elementsOf(table, `allowed-${kind}`).keys()) {
    const end = key.lastIndexOf(' . ');
    const cidr = parseCidr(key.slice(end + 3));
    const at = key.slice(0, end);
    if (cidr.ok) allowed.set(at, [...(allowed.get(at) ?? []), cidr.value]);
  }
  return allowed;
}

/** An element that lets the flows of one way pass, and which flows these are. */
export interface OwnElement {
  readonly set: SetName;
  readonly key: string;
  readonly flows: FlowMatch;
}

export function ownElements(table: ObservedTable | undefined, which: (set: SetName, key: string) => boolean): OwnElement[] {
  if (!table) return [];
  return FLOW_KINDS.flatMap((kind) => {
    const set = `own-${kind}` as const;
    const keys = [...elementsOf(table, set).keys()].filter((key) => which(set, key));
    return keys.map((key) => ({ set, key, flows: flowsOf(key) }));
  });
}

function flowsOf(key: string): FlowMatch {
  const [targetPort, target = '', port, protocol, address] = key.split(' . ').reverse();
  return {
    protocol: protocol === 'udp' ? 'udp' : 'tcp',
    ...(address === undefined ? {} : { address }),
    port: Number(port),
    to: { address: target, port: Number(targetPort) },
  };
}

export const elementsOf = (table: Pick<ObservedTable, 'sets'>, set: SetName): ReadonlyMap<string, string> =>
  table.sets.get(set) ?? new Map();

/** Whether the elements of this set let existing flows pass, so that they stay as long as these. */
export const isOwnSet = (set: SetName): boolean => set.startsWith('own-');
