import { isLoopback } from '@gwctl/shared/domain/carriers';
import type { IpAddress } from '@gwctl/shared/domain/ip';
import { type PortRange, rangesOverlap } from '@gwctl/shared/domain/ports';
import type { RelayedForward } from '../relay/types.js';
import { Multimap } from './claims.js';
import { equal } from './equal.js';
import type { HostFacts, PlacedTarget } from './types.js';

/** A relayed forward as far as it matters here: where it listens, and wherever it may open connections to, now or later. */
export interface Relaying {
  readonly uid: string;
  readonly name: string;
  readonly listen: RelayedForward['listen'];
  readonly targets: readonly PlacedTarget[];
}

/** A target from which connections come back to the forward that opened them. */
export interface LeadsBack {
  readonly target: PlacedTarget;
  /** The forwards on the way, the one that listens at the target first; at least one. */
  readonly via: readonly Relaying[];
}

/** What comes in at a place. */
interface Stream {
  readonly address: IpAddress;
  readonly ports: PortRange;
  readonly transports: RelayedForward['listen']['transports'];
}

/**
 * Which relayed forwards of a gateway connect to listeners of others among them. Nearly all have their targets elsewhere: only of those
 * that have one on the gateway more is looked at, so that one change among tens of thousands costs about one.
 */
export class RelayGraph {
  readonly #byUid = new Map<string, Relaying>();
  readonly #targeting = new Multimap<string, Relaying>();
  /** How many listen on each address. */
  readonly #listening = new Map<string, number>();
  #own: ReadonlySet<string> = new Set();
  #addresses: HostFacts['addresses'] = [];
  /** Addresses of targets that are the gateway's, by text. */
  readonly #local = new Set<string>();

  /** Whether it was there. */
  remove(uid: string): boolean {
    const old = this.#byUid.get(uid);
    if (!old) return false;
    this.#byUid.delete(uid);
    const { address } = old.listen;
    if (address) this.#count(address, -1);
    for (const target of old.targets) this.#targeting.remove(target.address.text, old);
    for (const target of old.targets) this.#look(target.address);
    return true;
  }

  add(relaying: Relaying): void {
    this.remove(relaying.uid);
    this.#byUid.set(relaying.uid, relaying);
    const { address } = relaying.listen;
    if (address) this.#count(address, 1);
    for (const target of relaying.targets) this.#targeting.add(target.address.text, relaying);
    for (const target of relaying.targets) this.#look(target.address);
  }

  /** Whether they are others than before. */
  setAddresses(addresses: HostFacts['addresses']): boolean {
    if (equal(addresses, this.#addresses)) return false;
    this.#addresses = addresses;
    this.#own = new Set(addresses.map((a) => a.address.text));
    for (const { targets } of this.#byUid.values()) for (const target of targets) this.#look(target.address);
    return true;
  }

  /**
   * Tells `close` of each that leads back to itself by way of others, with every target that does. Of a circle it is the forward with the
   * highest uid, which closes it; what `close` leaves of it may still be part of another circle.
   */
  closeCircles(close: (relaying: Relaying, back: readonly LeadsBack[]) => Relaying | undefined): void {
    const kept = new Kept();
    for (const relaying of this.#suspects()) {
      const back = relaying.targets.flatMap((target): LeadsBack[] => {
        const via = this.#local.has(target.address.text) ? this.#wayBack(relaying, target, kept) : undefined;
        return via ? [{ target, via }] : [];
      });
      const left = back.length > 0 ? close(relaying, back) : relaying;
      if (left) kept.add(left);
    }
  }

  /** In order of uid. */
  #suspects(): readonly Relaying[] {
    if (this.#local.size === 0) return [];
    const suspects = new Set<Relaying>();
    for (const address of this.#local) for (const relaying of this.#targeting.get(address)) suspects.add(relaying);
    return [...suspects].sort((a, b) => (a.uid < b.uid ? -1 : 1));
  }

  /** The shortest way from a target back to the listener, by way of others; undefined where there is none. */
  #wayBack(start: Relaying, target: PlacedTarget, kept: Kept): readonly Relaying[] | undefined {
    const seen = new Set<string>();
    const way: Step[] = [{ stream: led(start.listen, start, target) }];
    for (const step of way) {
      const { stream } = step;
      // That it is its own target is found out for each forward by itself.
      if (step.from && taken(start, stream)) return forwardsTo(step);
      for (const next of kept.at(stream)) {
        const inside = taken(next, stream);
        if (!inside) continue;
        const { ports, transports } = inside;
        const here = `${next.uid} ${ports.first}-${ports.last}/${transports.join('+')}`;
        if (seen.has(here)) continue;
        seen.add(here);
        for (const onward of next.targets)
          if (this.#local.has(onward.address.text)) way.push({ stream: led(inside, next, onward), from: { step, by: next } });
      }
    }
    return undefined;
  }

  #count(address: IpAddress, by: 1 | -1): void {
    const now = (this.#listening.get(address.text) ?? 0) + by;
    if (now > 0) this.#listening.set(address.text, now);
    else this.#listening.delete(address.text);
    this.#look(address);
  }

  /** What somebody listens on is the gateway's, or will be once it is announced. */
  #look(address: IpAddress): void {
    const { text } = address;
    const local = this.#own.has(text) || this.#listening.has(text) || isLoopback(address);
    if (local && this.#targeting.has(text)) this.#local.add(text);
    else this.#local.delete(text);
  }
}

/** A place on the way, and how one comes there. */
interface Step {
  readonly stream: Stream;
  readonly from?: { readonly step: Step; readonly by: Relaying };
}

function forwardsTo(last: Step): readonly Relaying[] {
  const via: Relaying[] = [];
  for (let { from } = last; from; { from } = from.step) via.unshift(from.by);
  return via;
}

/** Those that are in place, found by the ports that they listen on. */
class Kept {
  readonly #byPort = new Multimap<number, Relaying>();

  add(relaying: Relaying): void {
    const { ports } = relaying.listen;
    for (let port = ports.first; port <= ports.last; port++) this.#byPort.add(port, relaying);
  }

  at({ ports }: Stream): ReadonlySet<Relaying> {
    const found = new Set<Relaying>();
    for (let port = ports.first; port <= ports.last; port++) for (const relaying of this.#byPort.get(port)) found.add(relaying);
    return found;
  }
}

/** What of a stream to one of the gateway's addresses comes in at a listener. */
function taken({ listen }: Relaying, stream: Stream): Stream | undefined {
  const { address, ports, interface: name } = listen;
  // What the gateway sends to itself comes in at none of its interfaces.
  if (name !== undefined || !rangesOverlap(ports, stream.ports)) return undefined;
  if (address ? address.text !== stream.address.text : !listen.families.includes(stream.address.family)) return undefined;
  const transports = stream.transports.filter((t) => listen.transports.includes(t));
  if (transports.length === 0) return undefined;
  const both = { first: Math.max(ports.first, stream.ports.first), last: Math.min(ports.last, stream.ports.last) };
  return { address: stream.address, ports: both, transports };
}

/** What becomes of it at a target, whose port stands for the listener's first. */
function led({ ports, transports }: Pick<Stream, 'ports' | 'transports'>, { listen }: Relaying, target: PlacedTarget): Stream {
  const distance = (target.port ?? listen.ports.first) - listen.ports.first;
  const to = { first: ports.first + distance, last: ports.last + distance };
  return { address: target.address, ports: to, transports };
}
