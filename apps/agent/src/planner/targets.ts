import { isLoopback, LOOPBACK } from '@gwctl/shared/domain/carriers';
import { type Target, type TrafficSpec, transports } from '@gwctl/shared/domain/forward';
import { type Cidr, contains, type Family, type IpAddress, parseCidr } from '@gwctl/shared/domain/ip';
import { rangeWidth } from '@gwctl/shared/domain/ports';
import type { Condition } from '@gwctl/shared/domain/status';
import type { Health, HostFacts, PlacedTarget, Resolution, TargetView } from './types.js';

const network = (text: string): Cidr => {
  const cidr = parseCidr(text);
  if (!cidr.ok) throw new Error(cidr.error);
  return cidr.value;
};

/** Never a target: the kernel drops loopback from the wire, and link-local holds clouds' metadata services. */
const FORBIDDEN: readonly { readonly network: Cidr; readonly what: string }[] = [
  ...LOOPBACK.map((n) => ({ network: n, what: 'a loopback address' })),
  { network: network('169.254.0.0/16'), what: 'a link-local address' },
  { network: network('fe80::/10'), what: 'a link-local address' },
  { network: network('0.0.0.0/8'), what: 'an address of no host' },
  { network: network('224.0.0.0/3'), what: 'a multicast or reserved address' },
  { network: network('ff00::/8'), what: 'a multicast address' },
];

/** What is wrong with an address as a target, in words; undefined where nothing is. */
export const forbiddenAs = (address: IpAddress): string | undefined => FORBIDDEN.find((f) => contains(f.network, address))?.what;

/** An address of the gateway itself, rather than one that it only announces for a forward. */
export const isOwn = (address: IpAddress, facts: HostFacts): boolean =>
  facts.addresses.some((a) => !a.announced && a.address.text === address.text);

/** The same of this gateway, whose own addresses are none either: only its administrator may name those, and what is on its loopback. */
export function wrongAsTarget(
  address: IpAddress,
  facts: HostFacts,
  permitsLocal?: (address: IpAddress) => boolean,
): string | undefined {
  const own = isOwn(address, facts);
  if ((own || isLoopback(address)) && permitsLocal?.(address)) return undefined;
  return forbiddenAs(address) ?? (own ? 'an address of this gateway' : undefined);
}

export interface TargetQuestion {
  readonly spec: TrafficSpec;
  readonly family: Family;
  readonly facts: HostFacts;
  /** The most that the driver can carry. */
  readonly most: number;
  readonly names: ReadonlyMap<string, Resolution>;
  readonly health: (address: IpAddress, port: number) => Health | undefined;
  /** Whether the gateway's own policy permits it as a target. */
  readonly permits: (address: IpAddress) => boolean;
  /** Whether that policy names it although it is the gateway's own, or on its loopback. Undefined: it never may be one. */
  readonly permitsLocal?: (address: IpAddress) => boolean;
  /** A name without an address of {@link family} may lead to the other one. */
  readonly eitherFamily?: boolean;
  /** Whether what is sent there comes to the forward's own listener. Undefined: it never does. */
  readonly leadsBack?: (target: { readonly address: IpAddress; readonly port: number | undefined }) => boolean;
}

export interface TargetAnswer {
  /** In rotation, by address and port; empty where no name has an address. */
  readonly placed: readonly PlacedTarget[];
  /** In rotation or not. */
  readonly used: readonly PlacedTarget[];
  /** Out of rotation. */
  readonly down: readonly PlacedTarget[];
  readonly views: readonly TargetView[];
  readonly remarks: readonly Omit<Condition, 'since'>[];
}

const NONE: readonly never[] = [];

interface Candidate extends PlacedTarget {
  readonly host: string;
}

/** Turns targets into addresses: names into what they resolved to, without those that are down while others are up. */
export function resolveTargets(question: TargetQuestion): TargetAnswer {
  const { spec, most, health } = question;
  const remarks: Omit<Condition, 'since'>[] = [];
  const found = candidates(question, remarks);
  if (found.length > most)
    remarks.push(
      bad('TargetsUsable', 'TOO_MANY_TARGETS', `the names have ${found.length} addresses, of which the first ${most} are used`),
    );
  const used = found.slice(0, most);
  const asked = probedPort(spec);
  const of = (c: Candidate) => (asked === undefined ? undefined : health(c.address, asked(c)));
  const views = used.map((c): TargetView => {
    const known = of(c);
    const view = { host: c.host, address: c.address.text, port: c.port ?? 0 };
    return known ? { ...view, health: known } : view;
  });
  const down = used.filter((c) => of(c)?.state === 'unhealthy');
  if (down.length > 0) remarks.push(unhealthy(down, used.length, (c) => of(c)?.trouble));
  // Where all are down, asking may be what is wrong: to send nothing anywhere helps nobody.
  const up = down.length === 0 || down.length === used.length ? used : used.filter((c) => !down.includes(c));
  const bare = ({ address, port, weight }: Candidate): PlacedTarget =>
    port === undefined ? { address, weight } : { address, port, weight };
  const all = used.map(bare);
  if (up === used) return { placed: all, used: all, down: NONE, views, remarks: remarks.length === 0 ? NONE : remarks };
  return { placed: up.map(bare), used: all, down: down.map(bare), views, remarks };
}

/** Which port of a target tells whether it is up; undefined: nothing is asked. */
export function probedPort({ listen, healthCheck }: TrafficSpec): ((target: { readonly port?: number }) => number) | undefined {
  const { mode, port } = healthCheck;
  if (mode === 'none') return undefined;
  if (port !== undefined) return () => port;
  // That the first port of many is closed says nothing of the others.
  const one = listen.ports !== undefined && rangeWidth(listen.ports) === 1 && transports(listen.protocol).includes('tcp');
  const first = listen.ports?.first;
  if (first === undefined || (mode === 'auto' && !one)) return undefined;
  return (target) => target.port ?? first;
}

function candidates(question: TargetQuestion, remarks: Omit<Condition, 'since'>[]): Candidate[] {
  const { spec, names } = question;
  const byKey = new Map<string, Candidate>();
  for (const target of spec.targets) {
    const port = target.port ?? spec.listen.ports?.first;
    const put = (host: string, address: IpAddress) => {
      const key = `${address.text} ${port ?? 0}`;
      const weight = target.weight + (byKey.get(key)?.weight ?? 0);
      byKey.set(key, port === undefined ? { host, address, weight } : { host, address, port, weight });
    };
    if (target.host.kind === 'ip') put(target.host.address.text, target.host.address);
    else
      for (const address of usable({ name: target.host.name, port }, names.get(target.host.name), question, remarks))
        put(target.host.name, address);
  }
  return [...byKey.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

const order = ({ address, port }: PlacedTarget) => `${address.text} ${port ?? 0}`;

/** The addresses of a name that may be targets. What its owner's DNS says is not to be trusted with the gateway's loopback. */
function usable(
  { name, port }: { readonly name: string; readonly port: number | undefined },
  resolution: Resolution | undefined,
  question: TargetQuestion,
  remarks: Omit<Condition, 'since'>[],
): IpAddress[] {
  const { facts, permits, permitsLocal, leadsBack } = question;
  const family = question.eitherFamily ? familyIn(resolution, question.family) : question.family;
  const remark = staleness(name, resolution, family);
  if (remark) remarks.push(remark);
  return (resolution?.addresses ?? []).filter((address) => {
    if (address.family !== family) return false;
    const why =
      wrongAsTarget(address, facts, permitsLocal) ??
      (permits(address) ? undefined : "outside this gateway's policy") ??
      (leadsBack?.({ address, port }) ? "the forward's own listener" : undefined);
    if (why !== undefined)
      remarks.push(bad('TargetsUsable', 'TARGET_FORBIDDEN', `${name} has ${address.text}, which is ${why}; it is left out`));
    return why === undefined;
  });
}

/** The family that a name is to be used in: `family`, or the other one where it has addresses of that alone. */
function familyIn(resolution: Resolution | undefined, family: Family): Family {
  const has = (wanted: Family) => resolution?.addresses.some((a) => a.family === wanted) === true;
  const other = family === 4 ? 6 : 4;
  return !has(family) && has(other) ? other : family;
}

/** What is wrong with what is known of a name; undefined where nothing is. */
export function staleness(
  name: string,
  resolution: Resolution | undefined,
  family: Family,
): Omit<Condition, 'since'> | undefined {
  const trouble = resolution?.trouble === undefined ? '' : `: ${resolution.trouble}`;
  if (!resolution?.addresses.some((a) => a.family === family))
    return bad('Resolved', 'DNS_UNRESOLVED', `${name} has no IPv${family} address yet${trouble}`);
  if (resolution.fresh)
    return resolution.trouble === undefined ? undefined : bad('Resolved', 'DNS_DOUBTFUL', `${name}${trouble}`);
  // Asked, and not answered yet: what is known of an earlier life of the agent is as good as before.
  if (resolution.trouble === undefined) return undefined;
  const since = resolution.answered === undefined ? '' : ` of ${new Date(resolution.answered).toISOString()}`;
  return bad('Resolved', 'DNS_STALE', `${name} cannot be resolved, so the last good answer${since} is kept${trouble}`);
}

function unhealthy(down: readonly Candidate[], all: number, why: (c: Candidate) => string | undefined): Omit<Condition, 'since'> {
  const names = down
    .map((c) => `${c.address.text}${c.port === undefined ? '' : ` port ${c.port}`} (${why(c) ?? 'down'})`)
    .join(', ');
  if (all === 1)
    return bad('TargetsHealthy', 'TARGET_UNHEALTHY', `the target ${names} does not answer; flows are sent to it all the same`);
  if (down.length === all)
    return bad(
      'TargetsHealthy',
      'ALL_TARGETS_UNHEALTHY',
      `no target answers: ${names}; all are kept in rotation, for it may be the question`,
    );
  return bad('TargetsHealthy', 'TARGET_UNHEALTHY', `${down.length} of ${all} targets are out of rotation: ${names}`);
}

/** Undefined where a name is to be resolved. */
export const addressOf = ({ host }: Target): IpAddress | undefined => (host.kind === 'ip' ? host.address : undefined);

/** As a spec names it. */
export const hostOf = ({ host }: Target): string => (host.kind === 'ip' ? host.address.text : host.name);

export const bad = (type: string, reason: string, message: string): Omit<Condition, 'since'> => ({
  type,
  status: 'false',
  reason,
  message,
});
