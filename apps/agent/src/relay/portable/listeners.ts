import { networkInterfaces } from 'node:os';
import type { ListenPlace } from '../core/listen-trouble.js';
import type { ListenFailure, ListeningSocket } from '../engine.js';
import type { Carried } from './carried.js';
import type { Descriptors } from './descriptors.js';
import { placeKey, type WantedPlace } from './places.js';
import { TcpListener } from './tcp-listener.js';
import { UdpListener } from './udp-listener.js';

export type Listener = TcpListener | UdpListener;

/** Opened at a time: enough to be quick, not so many that accepting waits. */
const AT_A_TIME = 64;

/** Opens listening sockets and knows those that somebody left: inherited ones, and of UDP those that stay for their last clients. */
export class Listeners {
  readonly #descriptors: Descriptors;
  readonly #inherited: Map<string, ListeningSocket>;
  /** Take nobody new, and close by themselves. */
  readonly #retired = new Map<string, UdpListener>();
  /** How many are open on each port. */
  readonly #held = new Map<string, number>();
  /**
   * Who left the inherited ones, and may hold them for its clients without receiving: then who is new would be heard by nobody, did they
   * not stay open here. It started this process, which gets another parent (at last 1) when that one ends.
   */
  #predecessor: number | undefined;

  constructor(options: { readonly descriptors: Descriptors; readonly inherited: readonly ListeningSocket[] }) {
    this.#descriptors = options.descriptors;
    if (options.inherited.length > 0 && process.ppid > 1) this.#predecessor = process.ppid;
    this.#inherited = new Map(options.inherited.map((socket) => [placeKey(socket), socket]));
  }

  /** All of them by {@link placeKey}, or what kept one from opening; everything is as it was before then. */
  async open(places: readonly WantedPlace[], died: () => void): Promise<ReadonlyMap<string, Listener> | ListenFailure> {
    if (!this.#descriptors.fits(places.length)) return this.#tooMany(places.length);
    const opened = new Map<string, Listener>();
    const left = places.filter((place) => this.#isLeft(place));
    // What somebody left comes last: it opens for sure, and could not be put back if one of the others failed.
    for (const group of [places.filter((place) => !left.includes(place)), left]) {
      const failure = await this.#openAll(group, died, opened);
      if (!failure) continue;
      await this.close([...opened.values()]);
      return failure;
    }
    return opened;
  }

  async #openAll(
    places: readonly WantedPlace[],
    died: () => void,
    opened: Map<string, Listener>,
  ): Promise<ListenFailure | undefined> {
    for (let at = 0; at < places.length; at += AT_A_TIME) {
      let failure: ListenFailure | undefined;
      const open = async (place: WantedPlace) => {
        const result = await this.#open(place, died);
        if (result && 'reason' in result) failure = result;
        else if (result) opened.set(placeKey(place), result);
      };
      await Promise.all(places.slice(at, at + AT_A_TIME).map(open));
      if (failure) return failure;
    }
    return undefined;
  }

  #isLeft(place: WantedPlace): boolean {
    const key = placeKey(place);
    return this.#retired.has(key) || this.#inherited.has(key);
  }

  async close(listeners: readonly Listener[]): Promise<void> {
    await Promise.all(
      listeners.map(async (listener) => {
        await listener.close();
        this.#closed(listener);
      }),
    );
  }

  /** For the clients that are there; `then` where somebody waits for the last. */
  retire(listener: UdpListener, then: () => void = () => {}): void {
    const key = placeKey(listener.place);
    this.#retired.set(key, listener);
    listener.retire(() => {
      this.#retired.delete(key);
      this.#closed(listener);
      then();
    });
  }

  /** Closes those that have no reason to stay any more. `drain`: there is a successor, and none stays for who is new. */
  lookIdle(drain = false): void {
    if (drain) this.#predecessor = undefined;
    for (const listener of [...this.#retired.values()]) listener.lookIdle();
  }

  /** Ends those that were only waiting for the last of their clients. */
  async stop(): Promise<void> {
    const all = [...this.#retired.values()];
    this.#retired.clear();
    await this.close(all);
  }

  /** Undefined: there is none, and that does no harm. */
  async #open(place: WantedPlace, died: () => void): Promise<Listener | ListenFailure | undefined> {
    const key = placeKey(place);
    const retired = this.#retired.get(key);
    if (retired) {
      this.#retired.delete(key);
      return retired;
    }
    const inherited = this.#inherited.get(key);
    if (place.interface !== undefined && !inherited) return interfaceFailure(place);
    const probe = !inherited && !this.#held.has(portKey(place));
    const options = { died, probe, ...(inherited ? { fd: inherited.fd, lingers: () => this.#predecessorDrains() } : {}) };
    const result = await (place.transport === 'tcp' ? TcpListener : UdpListener).open(place, options);
    this.#inherited.delete(key);
    if (!('reason' in result)) this.#opened(place);
    else if (place.optional && (result.reason === 'ADDRESS_UNKNOWN' || result.message.includes('EAFNOSUPPORT'))) return undefined;
    return result;
  }

  #opened(place: ListenPlace): void {
    this.#descriptors.take(1);
    this.#held.set(portKey(place), (this.#held.get(portKey(place)) ?? 0) + 1);
  }

  #closed({ place }: Listener): void {
    this.#descriptors.giveBack(1);
    const left = (this.#held.get(portKey(place)) ?? 0) - 1;
    if (left > 0) this.#held.set(portKey(place), left);
    else this.#held.delete(portKey(place));
  }

  #predecessorDrains(): boolean {
    return this.#predecessor !== undefined && process.ppid === this.#predecessor;
  }

  #tooMany(count: number): ListenFailure {
    const { limit } = this.#descriptors;
    const message = `${count} listening sockets are more than the ${limit} descriptors of this process leave room for; raise its limit (LimitNOFILE) or forward fewer ports`;
    return { reason: 'LISTEN_FAILED', message };
  }
}

const portKey = ({ transport, port }: ListenPlace): string => `${transport} ${port}`;

/** A socket is tied to an interface by an option that Node.js cannot set; its addresses alone would let in who comes another way. */
function interfaceFailure({ interface: name = '', port, transport }: WantedPlace): ListenFailure {
  if (!(name in networkInterfaces()))
    return {
      reason: 'INTERFACE_UNKNOWN',
      message: `there is no interface ${name} with an address to listen on for ${port}/${transport}`,
    };
  return {
    reason: 'LISTEN_FAILED',
    message: `${port}/${transport} cannot be tied to interface ${name}, because the relay runs without libc here (portable engine); listen on an address instead`,
  };
}

export const carryAll = (listeners: Iterable<Listener>, carried: Carried): void => {
  for (const listener of listeners) listener.carry(carried);
};
