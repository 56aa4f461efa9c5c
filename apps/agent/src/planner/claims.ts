import { familiesOf } from '@gwctl/shared/domain/carriers';
import { listenersConflict, type TrafficSpec } from '@gwctl/shared/domain/forward';
import type { Family } from '@gwctl/shared/domain/ip';

/** Whoever claims a listener. */
export interface Claimant {
  readonly uid: string;
  readonly spec: TrafficSpec;
}

/**
 * Which forwards claim which listeners, found by port and address: comparing each with each would take longer than all else. Holds
 * those that conflict with each other as well; who wins is not decided here.
 */
export class Claims<C extends Claimant> {
  /** Each address has a number, and so has "every address" of each family: with the port it makes a key that takes no text of its own. */
  readonly #places: Readonly<Record<Family, Map<string, number>>> = { 4: new Map(), 6: new Map() };
  #count = 0;
  readonly #byPort = new Multimap<number, C>();
  /** Those of every port, by place. */
  readonly #everyPort = new Multimap<number, C>();
  /** How many want each port. */
  readonly #wanted = new Map<number, number>();

  add(claimant: C): void {
    const { ports } = claimant.spec.listen;
    for (const place of this.#placesOf(claimant)) {
      if (!ports) this.#everyPort.add(place, claimant);
      else for (let port = ports.first; port <= ports.last; port++) this.#byPort.add(place * PORTS + port, claimant);
    }
    for (let port = ports?.first ?? 1; port <= (ports?.last ?? 0); port++)
      this.#wanted.set(port, (this.#wanted.get(port) ?? 0) + 1);
  }

  remove(claimant: C): void {
    const { ports } = claimant.spec.listen;
    for (const place of this.#placesOf(claimant)) {
      if (!ports) this.#everyPort.remove(place, claimant);
      else for (let port = ports.first; port <= ports.last; port++) this.#byPort.remove(place * PORTS + port, claimant);
    }
    for (let port = ports?.first ?? 1; port <= (ports?.last ?? 0); port++) {
      const left = (this.#wanted.get(port) ?? 0) - 1;
      if (left > 0) this.#wanted.set(port, left);
      else this.#wanted.delete(port);
    }
  }

  /** Those that claim some of the same traffic. */
  rivalsOf(claimant: C): readonly C[] {
    const { listen } = claimant.spec;
    let found: Set<C> | undefined;
    const look = (candidates: Iterable<C>) => {
      for (const other of candidates) {
        if (other === claimant || !listenersConflict(other.spec.listen, listen)) continue;
        found ??= new Set();
        found.add(other);
      }
    };
    for (const place of this.#near(claimant)) {
      if (this.#everyPort.size > 0) look(this.#everyPort.get(place));
      if (listen.ports)
        for (let port = listen.ports.first; port <= listen.ports.last; port++) look(this.#byPort.get(place * PORTS + port));
      else for (const port of this.#wanted.keys()) look(this.#byPort.get(place * PORTS + port));
    }
    return found ? [...found] : NOBODY;
  }

  /** Whether a forward wants this port, so that whose socket is on it matters. */
  wants(port: number): boolean {
    return this.#everyPort.size > 0 || this.#wanted.has(port);
  }

  /** The places where somebody may claim the same: an address and "every address", or every place there is. */
  #near({ spec }: C): readonly number[] {
    const { address } = spec.listen;
    if (address) return [this.#number(address.family, address.text), this.#number(address.family, EVERY)];
    return familiesOf(spec).flatMap((family) => [...this.#places[family].values()]);
  }

  #placesOf({ spec }: C): readonly number[] {
    const { address } = spec.listen;
    if (address) return [this.#number(address.family, address.text)];
    return familiesOf(spec).map((family) => this.#number(family, EVERY));
  }

  #number(family: Family, name: string): number {
    const known = this.#places[family].get(name);
    if (known !== undefined) return known;
    this.#places[family].set(name, this.#count);
    return this.#count++;
  }
}

/** In place of an address. */
const EVERY = '*';

/** More than the highest port. */
const PORTS = 2 ** 16;

const NOBODY: readonly never[] = [];

/** Several values by key; where there is but one, as almost always, it takes no collection of its own. */
export class Multimap<K, V extends object> {
  readonly #map = new Map<K, V | Set<V>>();

  get size(): number {
    return this.#map.size;
  }

  has(key: K): boolean {
    return this.#map.has(key);
  }

  add(key: K, value: V): void {
    const there = this.#map.get(key);
    if (there === undefined) this.#map.set(key, value);
    else if (there instanceof Set) there.add(value);
    else if (there !== value) this.#map.set(key, new Set([there, value]));
  }

  remove(key: K, value: V): void {
    const there = this.#map.get(key);
    if (there === value) this.#map.delete(key);
    else if (there instanceof Set) {
      there.delete(value);
      const [only] = there;
      if (there.size === 1 && only) this.#map.set(key, only);
    }
  }

  get(key: K): Iterable<V> {
    const there = this.#map.get(key);
    if (there === undefined) return NOBODY;
    return there instanceof Set ? there : [there];
  }
}
