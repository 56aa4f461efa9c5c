import { familyOfEgress } from '@gwctl/shared/domain/egress';
import { familyOf, type Snat, transports } from '@gwctl/shared/domain/forward';
import {
  type Cidr,
  contains,
  type Family,
  formatCidr,
  type IpAddress,
  mergeCidrs,
  networkOf,
  parseCidr,
} from '@gwctl/shared/domain/ip';
import type { Condition } from '@gwctl/shared/domain/status';
import type { Writable } from '../writable.js';
import { bad, resolveTargets, staleness, type TargetQuestion } from './targets.js';
import type {
  DesiredEgress,
  DesiredForward,
  DriverCapabilities,
  HostFacts,
  PlacedEgress,
  PlacedForward,
  PlacedTarget,
  Verdict,
} from './types.js';

const FTP_CONTROL = 21;
/** One object for all that say the same: there may be tens of thousands. */
const NOTHING: readonly never[] = [];
const KEPT = { mode: 'none' } as const;
const MASQUERADED = { mode: 'masquerade' } as const;

export type PlaceQuestion = Omit<TargetQuestion, 'spec' | 'family' | 'most'> & { readonly capabilities: DriverCapabilities };

/** The verdict on a forward against which nothing speaks. */
export function place(forward: DesiredForward, key: string, question: PlaceQuestion): Verdict {
  const { spec } = forward;
  const { capabilities, facts } = question;
  const family = familyOf(spec);
  const several = spec.targets.length > 1 || spec.targets.some((t) => t.host.kind === 'dns');
  const most =
    spec.listen.protocol === 'all'
      ? 1
      : several && spec.affinity === 'client'
        ? capabilities.affinityTargets
        : capabilities.targets;
  const { placed: targets, used, down, views, remarks } = resolveTargets({ ...question, spec, family, most });
  if (targets.length === 0) return { kind: 'wait', remarks };
  const allow = allowed(forward, [family], question);
  const { address, interface: iface, protocol, ports } = spec.listen;
  const ftp = ftpPorts(forward, capabilities);
  const listen: Writable<PlacedForward['listen']> = address && ports ? { address, protocol, ports } : { protocol };
  if (address && !ports) listen.address = address;
  if (ports && !address) listen.ports = ports;
  if (iface !== undefined) listen.interface = iface;
  const one: Writable<PlacedForward> = {
    uid: forward.uid,
    generation: forward.generation,
    key,
    family,
    listen,
    targets,
    affinity: spec.affinity,
    snat: resolveSnat(spec.snat),
    onChange: spec.onChange,
    clampMss: spec.clampMss,
    hairpin: hairpins(targets, facts),
  };
  if (down.length > 0) one.down = down;
  if (allow.networks) one.allow = allow.networks;
  if (ftp) one.ftp = ftp;
  return {
    kind: 'place',
    forward: one,
    clientAddress: clientAddress(one),
    targets: views,
    addresses: used,
    remarks: remarks.length + allow.remarks.length === 0 ? NOTHING : [...remarks, ...allow.remarks],
  };
}

export function placeEgress({ uid, generation, spec }: DesiredEgress, key: string): PlacedEgress {
  const family = familyOfEgress(spec);
  return {
    uid,
    generation,
    key,
    family,
    sources: mergeCidrs(spec.sources),
    outInterface: spec.outInterface,
    snat: spec.snat,
    except: mergeCidrs([...spec.exceptDestinations, ...spec.sources, MULTICAST[family]]),
  };
}

const cidr = (text: string): Cidr => {
  const parsed = parseCidr(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const MULTICAST = { 4: cidr('224.0.0.0/4'), 6: cidr('ff00::/8') } as const;

const ANYONE = { remarks: NOTHING } as const;

/** Networks and what names resolved to. Names that never did let nobody in: an empty list is not everybody. */
export function allowed(
  { spec }: DesiredForward,
  families: readonly Family[],
  { names }: Pick<PlaceQuestion, 'names'>,
): { readonly networks?: readonly Cidr[]; readonly remarks: readonly Omit<Condition, 'since'>[] } {
  if (spec.allowSources.length === 0) return ANYONE;
  const remarks: Omit<Condition, 'since'>[] = [];
  const networks = spec.allowSources.flatMap((source) => {
    if (source.kind === 'cidr') return [source.cidr];
    const resolution = names.get(source.name);
    const [family = 4] = families;
    const known = resolution?.addresses.find((a) => families.includes(a.family));
    const remark = staleness(source.name, resolution, known?.family ?? family);
    if (remark) remarks.push(bad('SourcesResolved', remark.reason, `allowed source ${remark.message}`));
    const addresses = (resolution?.addresses ?? []).filter((a) => families.includes(a.family));
    return addresses.map((a) => networkOf(a, a.family === 4 ? 32 : 128));
  });
  return { networks: mergeCidrs(networks), remarks };
}

/** `auto` masquerades: the only default that works without knowing the target's routes. */
function resolveSnat(snat: Snat): PlacedForward['snat'] {
  if (snat.mode === 'address') return snat;
  return snat.mode === 'none' ? KEPT : MASQUERADED;
}

/** Which TCP ports of the listener carry FTP control connections. */
function ftpPorts({ spec }: DesiredForward, can: DriverCapabilities): PlacedForward['ftp'] {
  const { listen, helper, targets } = spec;
  if (helper === 'none' || !can.ftp || !transports(listen.protocol).includes('tcp')) return undefined;
  if (!listen.ports) return { first: FTP_CONTROL, last: FTP_CONTROL } as PlacedForward['ftp'];
  if (helper === 'ftp') return listen.ports;
  const to = targets[0]?.port ?? listen.ports.first;
  const port = listen.ports.first + FTP_CONTROL - to;
  return port >= listen.ports.first && port <= listen.ports.last
    ? ({ first: port, last: port } as PlacedForward['ftp'])
    : undefined;
}

function hairpins(targets: readonly PlacedTarget[], facts: HostFacts): PlacedForward['hairpin'] {
  const found = targets.flatMap((t) => neighbours(t.address, facts).map((network) => ({ network, target: t.address })));
  return found.length === 0 ? NOTHING : found;
}

/** The connected networks that hold the target. */
function neighbours(target: IpAddress, facts: HostFacts): readonly Cidr[] {
  const networks = connected(facts).filter((n) => contains(n, target));
  return networks.length < 2 ? networks : mergeCidrs(networks);
}

/** The networks that the gateway is connected to. An address without neighbours (/32, /128) is none. Worked out once for all forwards. */
function connected(facts: HostFacts): readonly Cidr[] {
  const known = networksOf.get(facts);
  if (known) return known;
  const networks = facts.addresses
    .filter((a) => !a.announced && a.prefix < (a.address.family === 4 ? 32 : 128))
    .map((a) => networkOf(a.address, a.prefix));
  networksOf.set(facts, networks);
  return networks;
}

const networksOf = new WeakMap<HostFacts, readonly Cidr[]>();

/** Whether the target sees the client's address, and why; shown with the forward's status. */
function clientAddress(forward: PlacedForward): string {
  if (forward.snat.mode === 'address')
    return `no: the target sees ${forward.snat.address.text}, the fixed source address that the forward names`;
  if (forward.snat.mode === 'masquerade')
    return "no: the target sees the gateway's address, so that replies return through the gateway wherever the target's default route points; with snat none it would see the client's";
  const networks = [...new Set(forward.hairpin.map(({ network }) => formatCidr(network)))];
  const hairpin =
    networks.length === 0
      ? ''
      : `; hosts of ${networks.join(' and ')}, the target's own network, and the gateway itself appear with the gateway's address`;
  return `yes: the client's address is kept, so the target must route replies back through this gateway${hairpin}`;
}
