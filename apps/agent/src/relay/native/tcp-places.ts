import { packSocketAddress } from '../../system/native/socket-address.js';
import { Targets } from '../core/targets.js';
import { blamesTarget, connectTrouble } from '../core/trouble.js';
import { type TargetCounts, targetKey } from '../engine.js';
import type { RelayedForward, RelayTarget } from '../types.js';
import type { TargetNews } from './side.js';

/** Milliseconds from one measurement of a target's round trip to the next. */
const MEASURE = 1000;

/** A target, with what a connection needs of it at hand. */
export class Place {
  readonly target: RelayTarget;
  readonly key: string;
  /** struct sockaddr; its port is that of the last connection. */
  readonly address: Uint8Array;
  open = 0;
  measureAt = 0;

  constructor(target: RelayTarget, open: number) {
    this.target = target;
    this.key = targetKey(target);
    this.address = packSocketAddress(target.address, target.port);
    this.open = open;
  }

  /** Its address with the port that is `distance` from the first one. */
  at(distance: number): Uint8Array {
    const port = this.target.port + distance;
    this.address[2] = port >> 8;
    this.address[3] = port & 255;
    return this.address;
  }
}

/** Where one forward's connections go. */
export class Places {
  readonly #targets: Targets;
  readonly #places: ReadonlyMap<RelayTarget, Place>;
  readonly #connectTimeout: number;
  readonly #now: () => number;
  readonly #changed: (news: TargetNews) => void;

  constructor(
    forward: RelayedForward,
    before: Places | undefined,
    host: { readonly now: () => number; readonly changed: (news: TargetNews) => void },
  ) {
    this.#targets = before ? new Targets(forward, before.#targets) : new Targets(forward);
    const old = new Map([...(before ? before.#places.values() : [])].map((p) => [p.key, p]));
    this.#places = new Map(forward.targets.map((t) => [t, old.get(targetKey(t)) ?? new Place(t, 0)]));
    this.#connectTimeout = forward.connectTimeout;
    this.#now = host.now;
    this.#changed = host.changed;
  }

  /** `client`: a hash of its address. Undefined where there is no other than the one that was tried. */
  pick(client: number, tried: Place | undefined): Place | undefined {
    const target = this.#targets.pick({ now: this.#now(), client, ...(tried && { without: tried.target }) });
    return target && this.#places.get(target);
  }

  /** To be called no earlier than the place's `measureAt`: how a target is that answers all the time need not be said each time. */
  succeeded(place: Place, rttUs: number | undefined): void {
    place.measureAt = this.#now() + MEASURE;
    if (this.#targets.succeeded(place.target, rttUs ?? 0))
      this.#changed({ target: place.key, healthy: true, ...(rttUs !== undefined && { rttUs }) });
  }

  failed(place: Place, code: string): void {
    if (!blamesTarget(code)) return;
    const { target } = place;
    const trouble = connectTrouble({ address: target.address.text, port: target.port }, code, this.#connectTimeout);
    place.measureAt = 0;
    if (this.#targets.failed(target, this.#now(), trouble)) this.#changed({ target: place.key, healthy: false, trouble });
  }

  /** From another worker. */
  learn({ target: key, healthy, trouble, rttUs }: TargetNews): void {
    const place = [...this.#places.values()].find((p) => p.key === key);
    if (!place) return;
    if (healthy) this.#targets.succeeded(place.target, rttUs ?? 0);
    else this.#targets.failed(place.target, this.#now(), trouble ?? '');
    place.measureAt = 0;
  }

  counts(): readonly TargetCounts[] {
    return [...this.#places.values()].map(({ target, open }) => ({
      address: target.address.text,
      port: target.port,
      open,
      ...this.#targets.health(target),
    }));
  }
}
