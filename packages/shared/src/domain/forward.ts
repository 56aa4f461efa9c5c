import { familiesOf, isLoopback } from './carriers.js';
import { familyOfTargets } from './family.js';
import { type Cidr, type Family, type IpAddress, parseCidr, parseIp } from './ip.js';
import { parseDnsName, parseInterface, parseText } from './names.js';
import { makePortRange, type PortRange, parsePort, rangesOverlap, rangeWidth } from './ports.js';
import { parseRelayOptions, type RawRelayOptions, type RelayOptions } from './relay-options.js';
import { err, ok, type Result, type Violation, ViolationList } from './result.js';

export { familyOf, familyOfTargets } from './family.js';

export type Protocol = 'tcp' | 'udp' | 'tcp+udp' | 'all';
export type SnatMode = 'auto' | 'masquerade' | 'address' | 'none';
export type DriverChoice = 'auto' | 'kernel' | 'relay';
export type OnChange = 'drain' | 'cut' | 'keep';
export type Affinity = 'none' | 'client';
export type HelperChoice = 'auto' | 'none' | 'ftp';
export type HealthCheckMode = 'auto' | 'none' | 'tcp';

/** Where traffic enters the gateway. */
export interface Listener {
  /** Undefined: every address of the gateway. */
  readonly address?: IpAddress;
  /** Undefined: any interface. */
  readonly interface?: string;
  readonly protocol: Protocol;
  /** Undefined exactly for protocol `all`. */
  readonly ports?: PortRange;
  readonly announce: boolean;
}

export type Host = { readonly kind: 'ip'; readonly address: IpAddress } | { readonly kind: 'dns'; readonly name: string };

/** Where a forward sends traffic. */
export interface Target {
  readonly host: Host;
  /** What the listener's first port goes to; undefined: the same ports as the listener's. */
  readonly port?: number;
  readonly weight: number;
}

export type AllowSource = { readonly kind: 'cidr'; readonly cidr: Cidr } | { readonly kind: 'dns'; readonly name: string };

export type Snat = { readonly mode: 'auto' | 'masquerade' | 'none' } | { readonly mode: 'address'; readonly address: IpAddress };

/** How the agent finds out whether a target is up. */
export interface HealthCheck {
  readonly mode: HealthCheckMode;
  /** The target's port to ask; undefined: the port that the forward sends to. */
  readonly port?: number;
}

/** The part of a forward that decides about traffic: the same for control plane and agent. */
export interface TrafficSpec {
  readonly listen: Listener;
  readonly targets: readonly Target[];
  /** Empty: anyone. */
  readonly allowSources: readonly AllowSource[];
  readonly snat: Snat;
  readonly driver: DriverChoice;
  readonly onChange: OnChange;
  readonly enabled: boolean;
  /** Milliseconds since the epoch. */
  readonly expires?: number;
  readonly takeover: boolean;
  readonly affinity: Affinity;
  readonly helper: HelperChoice;
  /** Lower the segment size that TCP announces to what fits the path. */
  readonly clampMss: boolean;
  readonly healthCheck: HealthCheck;
  /** What only the relay can do; undefined where nothing of it is asked for. */
  readonly relay?: RelayOptions;
}

export type Placing =
  | { readonly kind: 'gateway'; readonly gateway: string }
  | { readonly kind: 'selector'; readonly matchLabels: Readonly<Record<string, string>> };

/** All that a user says about one forward. */
export interface ForwardSpec extends TrafficSpec {
  readonly description: string;
  readonly owner: string;
  readonly on: Placing;
}

/** A forward's traffic part before it was checked, as mappers take it from the wire: words already known, values not. */
export interface RawTrafficSpec {
  readonly listen?:
    | {
        readonly address: string;
        readonly interface: string;
        readonly protocol: Protocol | undefined;
        readonly ports?: { readonly first: number; readonly last: number } | undefined;
        readonly announce: boolean;
      }
    | undefined;
  readonly targets: readonly { readonly host: string; readonly port: number; readonly weight: number }[];
  readonly allowSources: readonly string[];
  readonly snat?: { readonly mode: SnatMode | undefined; readonly address: string } | undefined;
  readonly driver: DriverChoice | undefined;
  readonly onChange: OnChange | undefined;
  readonly enabled: boolean;
  readonly expires?: number | undefined;
  readonly takeover: boolean;
  readonly affinity: Affinity | undefined;
  readonly helper: HelperChoice | undefined;
  readonly clampMss: boolean;
  readonly healthCheck?: { readonly mode: HealthCheckMode | undefined; readonly port: number } | undefined;
  readonly relay?: RawRelayOptions | undefined;
}

export const MAX_TARGETS = 64;
export const MAX_ALLOW_SOURCES = 1024;
export const MAX_WEIGHT = 1000;

/**
 * Checks a forward's traffic part. Fields in the violations start with `prefix`, for instance `spec.`.
 * Undefined words (protocol, driver, ...) stand for values that the wire carried but nobody here knows.
 */
export function parseTrafficSpec(raw: RawTrafficSpec, prefix = ''): Result<TrafficSpec, readonly Violation[]> {
  const bad = new ViolationList();
  const at = (field: string) => `${prefix}${field}`;
  const listen = parseListener(raw, bad, at);
  const targets = parseTargets(raw, listen, bad, at);
  const relay = raw.relay && parseRelayOptions(raw.relay, raw.listen?.protocol, bad, (field) => at(`relay.${field}`));
  const families = listen && raw.driver && familiesOf({ listen, targets, driver: raw.driver, ...(relay ? { relay } : {}) });
  // A name behind every address may still be of either family: the whole forward tells, not this check.
  const known = listen?.address !== undefined || familyOfTargets(targets) !== undefined;
  const allowSources = parseAllowSources(raw, known && families?.length === 1 ? families[0] : undefined, bad, at);
  const snat = parseSnat(raw, targets, bad, at);
  if (raw.driver === undefined) bad.add(at('driver'), 'unknown driver; use auto, kernel or relay');
  if (raw.onChange === undefined) bad.add(at('on_change'), 'unknown policy; use drain, cut or keep');
  if (raw.expires !== undefined && !Number.isSafeInteger(raw.expires)) bad.add(at('expires'), 'is not a point in time');
  if (raw.affinity === undefined) bad.add(at('affinity'), 'unknown affinity; use none or client');
  if (raw.clampMss && (raw.listen?.protocol === 'udp' || raw.listen?.protocol === undefined))
    bad.add(at('clamp_mss'), 'changes the segment size of TCP, which the listener does not take; leave it out');
  const helper = parseHelper(raw, bad, at);
  const healthCheck = parseHealthCheck(raw, bad, at);
  if (bad.items.length > 0 || !listen || !snat || !raw.driver || !raw.onChange || !raw.affinity || !helper || !healthCheck)
    return err(bad.items);
  const spec: { -readonly [K in keyof TrafficSpec]: TrafficSpec[K] } = {
    listen,
    targets,
    allowSources,
    snat,
    driver: raw.driver,
    onChange: raw.onChange,
    enabled: raw.enabled,
    takeover: raw.takeover,
    affinity: raw.affinity,
    helper,
    clampMss: raw.clampMss,
    healthCheck,
  };
  // Not spread into the literal: there they would cost each of tens of thousands a second object for its fields.
  if (raw.expires !== undefined) spec.expires = raw.expires;
  if (relay) spec.relay = relay;
  return ok(spec);
}

function parseHelper({ helper, listen }: RawTrafficSpec, bad: ViolationList, at: At): HelperChoice | undefined {
  if (helper === undefined) bad.add(at('helper'), 'unknown helper; use auto, none or ftp');
  if (helper === 'ftp' && listen?.protocol === 'udp')
    bad.add(at('helper'), 'ftp runs over TCP, which the listener does not take; use auto or none');
  return helper;
}

function parseHealthCheck(raw: RawTrafficSpec, bad: ViolationList, at: At): HealthCheck | undefined {
  const { mode, port } = raw.healthCheck ?? { mode: 'auto' as const, port: 0 };
  if (mode === undefined) {
    bad.add(at('health_check.mode'), 'unknown mode; use auto, none or tcp');
    return undefined;
  }
  if (port === 0) {
    const protocol = raw.listen?.protocol;
    if (mode === 'tcp' && (protocol === 'udp' || protocol === 'all'))
      bad.add(
        at('health_check.port'),
        `is missing; a listener for ${protocol} has no TCP port to ask, so name one of the target's`,
      );
    return HEALTH_CHECKS[mode];
  }
  if (mode !== 'tcp') bad.add(at('health_check.port'), `is set but the mode is ${mode}; use mode tcp`);
  const checked = bad.take(at('health_check.port'), parsePort(port));
  return checked === undefined ? undefined : { mode, port: checked };
}

type At = (field: string) => string;

function parseListener(raw: RawTrafficSpec, bad: ViolationList, at: At): Listener | undefined {
  const l = raw.listen;
  if (!l) {
    bad.add(at('listen'), 'is missing; say where traffic enters, for instance 192.168.1.10:10022/tcp');
    return undefined;
  }
  const before = bad.items.length;
  const address = l.address === '' ? undefined : bad.take(at('listen.address'), parseListenAddress(l.address));
  const iface = l.interface === '' ? undefined : bad.take(at('listen.interface'), parseInterface(l.interface));
  if (l.protocol === undefined) bad.add(at('listen.protocol'), 'unknown protocol; use tcp, udp, tcp+udp or all');
  let ports: PortRange | undefined;
  if (l.protocol === 'all') {
    if (l.ports) bad.add(at('listen.ports'), 'protocol all is 1:1 NAT of a whole address and has no ports; leave them out');
    if (!address) bad.add(at('listen.address'), 'protocol all needs the address that is translated');
  } else if (l.ports) ports = bad.take(at('listen.ports'), makePortRange(l.ports.first, l.ports.last));
  else bad.add(at('listen.ports'), 'is missing; write a port from 1 to 65535 or a range');
  if (l.announce && !address) bad.add(at('listen.announce'), 'needs a listener address to announce');
  if (l.announce && address && isLoopback(address))
    bad.add(at('listen.announce'), `${address.text} is a loopback address, for which nobody else asks; leave it out`);
  if (bad.items.length > before || !l.protocol) return undefined;
  const { protocol, announce } = l;
  const rest = { ...(iface ? { interface: iface } : {}), ...(ports ? { ports } : {}), protocol, announce };
  // The usual one is written out: what is spread costs each of tens of thousands a second object for its fields.
  if (address && ports && !iface) return { address, protocol, ports, announce };
  return address ? { address, ...rest } : rest;
}

/** An address that a gateway can have: not the unspecified one, nor multicast or broadcast. */
export function parseListenAddress(text: string): Result<IpAddress, string> {
  const ip = parseIp(text);
  if (!ip.ok) return ip;
  if (ip.value.text === '0.0.0.0' || ip.value.text === '::')
    return err(`${ip.value.text} is not an address of a gateway; leave the address out to listen on all of them`);
  if (isMulticast(ip.value)) return err(`${ip.value.text} is a multicast or broadcast address, which cannot be forwarded`);
  return ip;
}

function parseTargets(raw: RawTrafficSpec, listen: Listener | undefined, bad: ViolationList, at: At): Target[] {
  if (raw.targets.length === 0) bad.add(at('targets'), 'is empty; name at least one HOST:PORT');
  if (raw.targets.length > MAX_TARGETS)
    bad.add(at('targets'), `${raw.targets.length} targets; at most ${MAX_TARGETS} are allowed`);
  const targets: Target[] = [];
  const seen = new Set<string>();
  raw.targets.slice(0, MAX_TARGETS).forEach((t, i) => {
    const field = at(`targets[${i}]`);
    const host = bad.take(`${field}.host`, parseHost(t.host));
    if (!Number.isInteger(t.weight) || t.weight < 0 || t.weight > MAX_WEIGHT)
      bad.add(`${field}.weight`, `${t.weight} is not a weight; write a whole number from 1 to ${MAX_WEIGHT}`);
    const port = t.port === 0 ? undefined : bad.take(`${field}.port`, parsePort(t.port));
    if (!host) return;
    if (host.kind === 'ip') {
      if (host.address.text === '0.0.0.0' || host.address.text === '::' || isMulticast(host.address))
        bad.add(`${field}.host`, `${host.address.text} is not an address that a target can have`);
    }
    if (listen?.protocol === 'all' && t.port !== 0) bad.add(`${field}.port`, 'protocol all has no ports; leave it out');
    if (listen?.ports && port && port + rangeWidth(listen.ports) - 1 > 65535)
      bad.add(
        `${field}.port`,
        `${t.port} plus the listener's ${rangeWidth(listen.ports)} ports goes beyond 65535; choose a lower port`,
      );
    const key = `${t.host}|${t.port}`;
    if (seen.has(key)) bad.add(field, `names ${t.host} port ${t.port} twice; give one target a higher weight instead`);
    seen.add(key);
    const weight = t.weight === 0 ? 1 : t.weight;
    targets.push(port ? { host, port, weight } : { host, weight });
  });
  // A copy is exactly as long as it needs to be; a list that grew keeps room for more, in each of tens of thousands of forwards.
  return targets.slice();
}

/** @param family The only one that clients can be of, where that is known. */
function parseAllowSources(raw: RawTrafficSpec, family: Family | undefined, bad: ViolationList, at: At): readonly AllowSource[] {
  if (raw.allowSources.length === 0) return ANYONE;
  if (raw.allowSources.length > MAX_ALLOW_SOURCES)
    bad.add(
      at('allow_sources'),
      `${raw.allowSources.length} sources; at most ${MAX_ALLOW_SOURCES} are allowed, merge neighbouring networks`,
    );
  const sources: AllowSource[] = [];
  raw.allowSources.slice(0, MAX_ALLOW_SOURCES).forEach((text, i) => {
    const field = at(`allow_sources[${i}]`);
    const source = bad.take(field, parseAllowSource(text));
    if (source?.kind === 'cidr' && family && source.cidr.family !== family)
      bad.add(
        field,
        `${text} is IPv${source.cidr.family} but the forward is IPv${family}, so it could never match; a listener on every address takes both with driver relay`,
      );
    if (source) sources.push(source);
  });
  return sources.slice();
}

/** One entry of an allow-list: a CIDR, an address, or a DNS name. */
export function parseAllowSource(text: string): Result<AllowSource, string> {
  const cidr = parseCidr(text);
  if (cidr.ok) return ok({ kind: 'cidr', cidr: cidr.value });
  // Whoever wrote a slash, a colon or only digits and dots meant a network; say what is wrong with that.
  if (/[/:]/.test(text) || /^[\d.]+$/.test(text)) return cidr;
  const name = parseDnsName(text);
  return name.ok ? ok({ kind: 'dns', name: name.value }) : err(`${name.error}; write a CIDR like 192.168.1.0/24 or a name`);
}

function parseSnat(raw: RawTrafficSpec, targets: readonly Target[], bad: ViolationList, at: At): Snat | undefined {
  const s = raw.snat ?? { mode: 'auto' as const, address: '' };
  if (s.mode === undefined) {
    bad.add(at('snat.mode'), 'unknown mode; use auto, masquerade, none or a fixed address');
    return undefined;
  }
  if (s.mode !== 'address') {
    if (s.address !== '') bad.add(at('snat.address'), `is set but the mode is ${s.mode}; use mode address`);
    return SNATS[s.mode];
  }
  const address = bad.take(at('snat.address'), parseListenAddress(s.address));
  const other = targets.find(({ host }) => address && host.kind === 'ip' && host.address.family !== address.family);
  if (address && other?.host.kind === 'ip') {
    const { text, family } = other.host.address;
    bad.add(
      at('snat.address'),
      `${address.text} is IPv${address.family} but the target ${text} is IPv${family}; use auto, or an address of the targets' family`,
    );
  }
  return address ? { mode: 'address', address } : undefined;
}

/** One object for all forwards that say the same. */
const SNATS: Readonly<Record<Exclude<SnatMode, 'address'>, Snat>> = {
  auto: { mode: 'auto' },
  masquerade: { mode: 'masquerade' },
  none: { mode: 'none' },
};
const HEALTH_CHECKS: Readonly<Record<HealthCheckMode, HealthCheck>> = {
  auto: { mode: 'auto' },
  none: { mode: 'none' },
  tcp: { mode: 'tcp' },
};
const ANYONE: readonly AllowSource[] = [];

export function parseHost(text: string): Result<Host, string> {
  const ip = parseIp(text);
  if (ip.ok) return ok({ kind: 'ip', address: ip.value });
  if (text.includes(':')) return ip;
  const name = parseDnsName(text);
  return name.ok ? ok({ kind: 'dns', name: name.value }) : err(`${name.error}; write one like 192.168.2.122 or db.example.net`);
}

/** Checks what only people read. */
export function parseNotes(
  notes: { description: string; owner: string },
  prefix = '',
): Result<{ description: string; owner: string }, readonly Violation[]> {
  const bad = new ViolationList();
  const description = bad.take(`${prefix}description`, parseText(notes.description));
  const owner = bad.take(`${prefix}owner`, parseText(notes.owner));
  return description === undefined || owner === undefined ? err(bad.items) : ok({ description, owner });
}

/** The transport protocols that a listener takes; `all` takes both, and more. */
export function transports(protocol: Protocol): readonly ('tcp' | 'udp')[] {
  return protocol === 'tcp' ? ['tcp'] : protocol === 'udp' ? ['udp'] : ['tcp', 'udp'];
}

/**
 * Whether two listeners of one gateway claim the same traffic. A wildcard address conflicts with every address of its family;
 * the interface does not tell listeners apart, since an address is reachable by any interface.
 */
export function listenersConflict(a: Listener, b: Listener): boolean {
  if (a.address && b.address && a.address.text !== b.address.text) return false;
  if (!transports(a.protocol).some((t) => transports(b.protocol).includes(t))) return false;
  return !a.ports || !b.ports || rangesOverlap(a.ports, b.ports);
}

/** `192.168.1.10:10022/tcp`, `*:53/udp`, `[2001:db8::1]:443/tcp`, `192.168.100.3/all`. */
export function formatListener(l: Listener): string {
  const address = !l.address ? '*' : l.address.family === 6 ? `[${l.address.text}]` : l.address.text;
  if (!l.ports) return `${address}/${l.protocol}`;
  return `${address}:${l.ports.first}${l.ports.last === l.ports.first ? '' : `-${l.ports.last}`}/${l.protocol}`;
}

function isMulticast(ip: IpAddress): boolean {
  if (ip.family === 6) return ip.text.startsWith('ff');
  return Number(ip.text.split('.')[0]) >= 224;
}
