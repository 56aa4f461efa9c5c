import type { EpollLoop } from './epoll-loop.js';
import type { Stray } from './side.js';
import type { UdpGear } from './udp-gear.js';
import type { UdpPort } from './udp-port.js';

/** Datagrams that a worker passes to the others in a second, and how long such a second is: anybody may send to a port that is given up. */
const [MOST, SECOND] = [1_000, 1_000];

export interface StrayOptions {
  readonly gear: UdpGear;
  /** All that there are in this worker. */
  readonly ports: () => Iterable<UdpPort>;
}

/**
 * With each socket that comes to an address and port, or goes, the kernel spreads the clients anew, known ones too. A socket without a
 * forward takes nobody new; whom it does not know may be a client of another one for the same place, here or in another worker.
 */
export class Strays {
  readonly #options: StrayOptions;
  readonly #loop: EpollLoop;
  #since = Number.NEGATIVE_INFINITY;
  #passed = 0;

  constructor(options: StrayOptions) {
    this.#options = options;
    this.#loop = options.gear.loop;
  }

  /** A datagram from a client that the port does not know. */
  came(port: UdpPort, slot: number): void {
    const { inbound, host } = this.#options.gear;
    inbound.inspect(slot);
    const payload = inbound.payload(slot);
    const size = inbound.segment || Math.max(1, payload.length);
    const count = Math.max(1, Math.ceil(payload.length / size));
    const payloads = Array.from({ length: count }, (_, i) => payload.slice(i * size, (i + 1) * size));
    const stray = { place: port.place, key: port.keyRead(), payloads };
    if (!this.deliver(stray) && this.#mayPass()) host.strayed(stray);
  }

  /** Sends it on where somebody here knows the client. */
  deliver({ place, key, payloads }: Stray): boolean {
    for (const port of this.#options.ports()) {
      const client = port.place === place ? port.known(key) : undefined;
      if (!client) continue;
      for (const payload of payloads) client.sendAlone(payload);
      return true;
    }
    return false;
  }

  #mayPass(): boolean {
    const { now } = this.#loop;
    if (now - this.#since >= SECOND) [this.#since, this.#passed] = [now, 0];
    this.#passed += 1;
    return this.#passed <= MOST;
  }
}
