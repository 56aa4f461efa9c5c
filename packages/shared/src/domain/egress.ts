import { parseListenAddress, type SnatMode } from './forward.js';
import { type Cidr, covers, type Family, formatCidr, type IpAddress, parseCidr } from './ip.js';
import { parseInterface } from './names.js';
import { err, ok, type Result, type Violation, ViolationList } from './result.js';

/** Source NAT for what leaves from inside: the part that decides about traffic, the same for control plane and agent. */
export interface EgressSpec {
  /** Of one family, merged and sorted; at least one. */
  readonly sources: readonly Cidr[];
  readonly outInterface: string;
  readonly snat: { readonly mode: 'masquerade' } | { readonly mode: 'address'; readonly address: IpAddress };
  /** Destinations that keep the inside source, merged and sorted. */
  readonly exceptDestinations: readonly Cidr[];
  readonly enabled: boolean;
}

/** An egress before it was checked, as mappers take it from the wire. */
export interface RawEgressSpec {
  readonly sources: readonly string[];
  readonly outInterface: string;
  readonly snat?: { readonly mode: SnatMode | undefined; readonly address: string } | undefined;
  readonly exceptDestinations: readonly string[];
  readonly enabled: boolean;
}

export const MAX_EGRESS_SOURCES = 64;
export const MAX_EXCEPT_DESTINATIONS = 64;

/** Fields in the violations start with `prefix`, for instance `spec.`. */
export function parseEgressSpec(raw: RawEgressSpec, prefix = ''): Result<EgressSpec, readonly Violation[]> {
  const bad = new ViolationList();
  const at = (field: string) => `${prefix}${field}`;
  const sources = parseCidrs(raw.sources, at('sources'), MAX_EGRESS_SOURCES, bad);
  if (raw.sources.length === 0) bad.add(at('sources'), 'is empty; name at least one inside network, for instance 10.0.0.0/16');
  const family = sources[0]?.family;
  sources.forEach((source, i) => {
    if (source.prefix === 0)
      bad.add(at(`sources[${i}]`), `${formatCidr(source)} is everybody; name the networks that are inside`);
    if (family && source.family !== family)
      bad.add(at(`sources[${i}]`), `${formatCidr(source)} is IPv${source.family}; make one egress for each family`);
  });
  const outInterface =
    raw.outInterface === ''
      ? void bad.add(at('out_interface'), 'is missing; name the interface through which the traffic leaves, for instance eth0')
      : bad.take(at('out_interface'), parseInterface(raw.outInterface));
  const exceptDestinations = parseCidrs(raw.exceptDestinations, at('except_destinations'), MAX_EXCEPT_DESTINATIONS, bad);
  exceptDestinations.forEach((destination, i) => {
    if (family && destination.family !== family)
      bad.add(
        at(`except_destinations[${i}]`),
        `${formatCidr(destination)} is IPv${destination.family} but the sources are IPv${family}, so it could never match`,
      );
  });
  const snat = parseEgressSnat(raw, family, bad, at);
  if (bad.items.length > 0 || !outInterface || !snat) return err(bad.items);
  return ok({
    sources: merged(sources),
    outInterface,
    snat,
    exceptDestinations: merged(exceptDestinations),
    enabled: raw.enabled,
  });
}

/** The family of what it translates. */
export const familyOfEgress = (spec: EgressSpec): Family => spec.sources[0]?.family ?? 4;

/** Whether two egresses of one gateway translate the same packets. */
export function egressesConflict(a: EgressSpec, b: EgressSpec): boolean {
  if (a.outInterface !== b.outInterface) return false;
  return a.sources.some((s) => b.sources.some((t) => covers(s, t) || covers(t, s)));
}

function parseCidrs(texts: readonly string[], field: string, most: number, bad: ViolationList): Cidr[] {
  if (texts.length > most) bad.add(field, `${texts.length} networks; at most ${most} are allowed, merge neighbouring ones`);
  return texts.slice(0, most).flatMap((text, i) => bad.take(`${field}[${i}]`, parseCidr(text)) ?? []);
}

/** Written as given, without those that another one covers: what was said stays recognizable. */
function merged(cidrs: readonly Cidr[]): Cidr[] {
  return cidrs
    .filter((c, i) => !cidrs.some((o, j) => i !== j && covers(o, c) && (!covers(c, o) || j < i)))
    .sort((a, b) => (formatCidr(a) < formatCidr(b) ? -1 : 1));
}

function parseEgressSnat(
  { snat: raw }: RawEgressSpec,
  family: Family | undefined,
  bad: ViolationList,
  at: (field: string) => string,
): EgressSpec['snat'] | undefined {
  const { mode, address } = raw ?? { mode: 'auto' as const, address: '' };
  if (mode === 'address') {
    const own = bad.take(at('snat.address'), parseListenAddress(address));
    if (!own) return undefined;
    if (family && own.family !== family)
      bad.add(at('snat.address'), `${own.text} is IPv${own.family} but the sources are IPv${family}`);
    return { mode: 'address', address: own };
  }
  if (mode === 'auto' || mode === 'masquerade') {
    if (address !== '') bad.add(at('snat.address'), `is set but the mode is ${mode}; use mode address`);
    return { mode: 'masquerade' };
  }
  bad.add(
    at('snat.mode'),
    mode === 'none'
      ? 'none translates nothing; use masquerade or a fixed address'
      : 'unknown mode; use masquerade or a fixed address',
  );
  return undefined;
}
