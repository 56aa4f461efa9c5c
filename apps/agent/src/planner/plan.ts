import { familyOf, formatListener, listenersConflict, type Snat, transports } from '@gwctl/shared/domain/forward';
import { type Family, formatCidr, type IpAddress, mergeCidrs, networkOf } from '@gwctl/shared/domain/ip';
import { refusals } from './refusals.js';
import type {
  DesiredForward,
  DriverCapabilities,
  HostFacts,
  PlacedForward,
  Planned,
  ProtectedListener,
  Verdict,
} from './types.js';

export interface PlanInput {
  readonly desired: readonly DesiredForward[];
  readonly facts: HostFacts;
  /** Milliseconds since the epoch: decides what has expired. */
  readonly now: number;
  readonly capabilities: DriverCapabilities;
  /** The eight hex digits that name a forward's kernel objects, from its uid (see system/forward-key). */
  readonly keyOf: (uid: string) => string;
}

/**
 * Decides for each desired forward by itself whether this gateway carries it. A bad one is refused with every violation that was
 * found and never touches another. Of two that claim the same listener (the control plane prevents it) the one with the lower uid
 * stays. Field paths in the violations start at the spec, for instance `listen.ports`.
 */
export function planForwards(input: PlanInput): Planned {
  const { facts, capabilities, now, keyOf } = input;
  const verdicts = new Map<string, Verdict>();
  const placed: PlacedForward[] = [];
  const carried = new CarriedListeners();
  const overruled = new Set<ProtectedListener>();
  const uidOfKey = new Map<string, string>();
  const desired = [...input.desired].sort((a, b) => (a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0));
  for (const forward of desired) {
    const { spec } = forward;
    if (!spec.enabled) {
      verdicts.set(forward.uid, { kind: 'disabled' });
      continue;
    }
    if (spec.expires !== undefined && spec.expires <= now) {
      verdicts.set(forward.uid, { kind: 'expired' });
      continue;
    }
    const found = refusals(forward, facts, capabilities);
    const rival = carried.rivalOf(forward);
    if (rival)
      found.refuse(
        'LISTENER_TAKEN',
        'listen',
        `${formatListener(spec.listen)} already belongs to forward ${rival.name} (${formatListener(rival.spec.listen)}) on this gateway; choose another port or address`,
      );
    const key = keyOf(forward.uid);
    if (uidOfKey.has(key))
      found.refuse(
        'KEY_COLLISION',
        'uid',
        `its key ${key} is that of forward ${uidOfKey.get(key)}; delete and add the forward again`,
      );
    const target = found.target;
    if (found.violations.length > 0 || !target) {
      verdicts.set(forward.uid, { kind: 'reject', reason: found.reason, violations: found.violations });
      continue;
    }
    uidOfKey.set(key, forward.uid);
    carried.add(forward);
    for (const p of found.overruled) overruled.add(p);
    const one = place(forward, key, target, facts);
    placed.push(one);
    verdicts.set(forward.uid, { kind: 'place', forward: one, clientAddress: clientAddress(one) });
  }
  return { host: { forwards: placed, protected: facts.protected.filter((p) => !overruled.has(p)) }, verdicts };
}

/** The ports of these forwards' listeners, for which the host's sockets matter. */
export function wantedPorts(desired: readonly DesiredForward[]): {
  readonly tcp: ReadonlySet<number>;
  readonly udp: ReadonlySet<number>;
} {
  const ports = { tcp: new Set<number>(), udp: new Set<number>() };
  for (const { listen } of desired.map((f) => f.spec))
    for (const transport of transports(listen.protocol))
      for (let port = listen.ports?.first ?? 1; port <= (listen.ports?.last ?? 0); port++) ports[transport].add(port);
  return ports;
}

/** Listeners that were given away, found by port: comparing each with each would take longer than all else. */
class CarriedListeners {
  readonly #byPort = new Map<number, DesiredForward[]>();
  /** Those without ports, which claim all of them. */
  readonly #every: DesiredForward[] = [];
  readonly #all: DesiredForward[] = [];

  add(forward: DesiredForward): void {
    this.#all.push(forward);
    const { ports } = forward.spec.listen;
    if (!ports) this.#every.push(forward);
    for (let port = ports?.first ?? 1; port <= (ports?.last ?? 0); port++)
      this.#byPort.set(port, [...(this.#byPort.get(port) ?? []), forward]);
  }

  /** One that claims traffic of this forward. */
  rivalOf(forward: DesiredForward): DesiredForward | undefined {
    const { ports } = forward.spec.listen;
    const conflicts = (other: DesiredForward) =>
      familyOf(other.spec) === familyOf(forward.spec) && listenersConflict(other.spec.listen, forward.spec.listen);
    if (!ports) return this.#all.find(conflicts);
    for (let port = ports.first; port <= ports.last; port++) {
      const rival = this.#byPort.get(port)?.find(conflicts);
      if (rival) return rival;
    }
    return this.#every.find(conflicts);
  }
}

function place(
  forward: DesiredForward,
  key: string,
  target: { readonly address: IpAddress; readonly port?: number },
  facts: HostFacts,
): PlacedForward {
  const { spec } = forward;
  const family: Family = familyOf(spec);
  const { address, protocol, ports } = spec.listen;
  const port = target.port ?? ports?.first;
  return {
    uid: forward.uid,
    generation: forward.generation,
    key,
    family,
    listen: {
      ...(address ? { address } : {}),
      ...(spec.listen.interface === undefined ? {} : { interface: spec.listen.interface }),
      protocol,
      ...(ports ? { ports } : {}),
    },
    targets: [{ address: target.address, ...(port === undefined ? {} : { port }), weight: 1 }],
    allow: mergeCidrs(spec.allowSources.flatMap((s) => (s.kind === 'cidr' ? [s.cidr] : []))),
    snat: resolveSnat(spec.snat),
    onChange: spec.onChange,
    hairpin: hairpinNetworks(target.address, facts),
  };
}

/** `auto` masquerades: the only default that works without knowing the target's routes. */
function resolveSnat(snat: Snat): PlacedForward['snat'] {
  if (snat.mode === 'address') return snat;
  return { mode: snat.mode === 'none' ? 'none' : 'masquerade' };
}

/** The connected networks that hold the target. An address without neighbours (/32, /128) is none. */
function hairpinNetworks(target: IpAddress, facts: HostFacts): PlacedForward['hairpin'] {
  const networks = facts.addresses
    .filter((a) => a.address.family === target.family && a.prefix < (target.family === 4 ? 32 : 128))
    .map((a) => networkOf(a.address, a.prefix))
    .filter((n) => networkOf(target, n.prefix).network === n.network);
  return mergeCidrs(networks);
}

/** Whether the target sees the client's address, and why; shown with the forward's status. */
function clientAddress(forward: PlacedForward): string {
  if (forward.snat.mode === 'address')
    return `no: the target sees ${forward.snat.address.text}, the fixed source address that the forward names`;
  if (forward.snat.mode === 'masquerade')
    return "no: the target sees the gateway's address, so that replies return through the gateway wherever the target's default route points; with snat none it would see the client's";
  const hairpin =
    forward.hairpin.length === 0
      ? ''
      : `; hosts of ${forward.hairpin.map(formatCidr).join(' and ')}, the target's own network, and the gateway itself appear with the gateway's address`;
  return `yes: the client's address is kept, so the target must route replies back through this gateway${hairpin}`;
}
